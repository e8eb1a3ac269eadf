// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package filters

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apiserver/pkg/authentication/user"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/kube-openapi/pkg/handler3"
)

const documentList = `{"paths":{
	"apis": {"serverRelativeURL": "/openapi/v3/apis?hash=1"},
	"apis/batch/v1": {"serverRelativeURL": "/openapi/v3/apis/batch/v1?hash=2"},
	"apis/policy.batchgate.io": {"serverRelativeURL": "/openapi/v3/apis/policy.batchgate.io?hash=3"},
	"apis/policy.batchgate.io.example/v1": {"serverRelativeURL": "/openapi/v3/apis/policy.batchgate.io.example/v1?hash=4"},
	"apis/policy.batchgate.io/v1alpha1": {"serverRelativeURL": "/openapi/v3/apis/policy.batchgate.io/v1alpha1?hash=5"}}}`

func TestWithAggregatorOpenAPI(t *testing.T) {
	all := []string{"apis", "apis/batch/v1", "apis/policy.batchgate.io", "apis/policy.batchgate.io.example/v1", "apis/policy.batchgate.io/v1alpha1"}
	for name, tc := range map[string]struct {
		user, path string
		disabled   bool
		code       int
		body       string
		wantCode   int
		want       []string
	}{
		"list for aggregator":                         {"system:aggregator", "/openapi/v3", false, 200, documentList, 200, []string{"apis/policy.batchgate.io", "apis/policy.batchgate.io/v1alpha1"}},
		"list for aggregator without native batch/v1": {"system:aggregator", "/openapi/v3", true, 200, documentList, 200, []string{"apis/batch/v1", "apis/policy.batchgate.io", "apis/policy.batchgate.io/v1alpha1"}},
		"list for other user":                         {"alice", "/openapi/v3", false, 200, documentList, 200, all},
		"list without user":                           {"", "/openapi/v3", false, 200, documentList, 200, all},
		"other path for aggregator":                   {"system:aggregator", "/openapi/v3/apis", false, 200, documentList, 200, all},
		"failed list for aggregator":                  {"system:aggregator", "/openapi/v3", false, 503, documentList, 500, nil},
		"invalid list for aggregator":                 {"system:aggregator", "/openapi/v3", false, 200, "x", 500, nil},
		"failed list for another user":                {"alice", "/openapi/v3", false, 503, "x", 503, nil},
	} {
		t.Run(name, func(t *testing.T) {
			handler := WithAggregatorOpenAPI(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if tc.code != http.StatusOK {
					w.WriteHeader(tc.code)
				}
				_, _ = w.Write([]byte(tc.body))
			}), func() bool { return tc.disabled })
			r := httptest.NewRequest(http.MethodGet, tc.path, nil)
			if tc.user != "" {
				r = r.WithContext(genericapirequest.WithUser(r.Context(), &user.DefaultInfo{Name: tc.user}))
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code != tc.wantCode {
				t.Fatalf("got status %d, want %d: %s", w.Code, tc.wantCode, w.Body)
			}
			if tc.wantCode != http.StatusOK {
				return
			}
			var documents handler3.OpenAPIV3Discovery
			if err := json.Unmarshal(w.Body.Bytes(), &documents); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, slices.Sorted(maps.Keys(documents.Paths))); diff != "" {
				t.Errorf("unexpected documents (-want +got):\n%s", diff)
			}
		})
	}
}
