// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package filters

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	_ "k8s.io/kubernetes/pkg/apis/batch/install" // registers batch/v1 and Status
)

func TestWithVersionSkewCheck(t *testing.T) {
	var skew error
	handler := WithVersionSkewCheck(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusAccepted)
	}), func() error { return skew }, legacyscheme.Codecs)
	for _, group := range []string{"batch", "policy.batchgate.io"} {
		for _, verb := range []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"} {
			for _, skew = range []error{nil, errors.New("too new")} {
				r := httptest.NewRequest(http.MethodPost, "/", nil)
				r = r.WithContext(genericapirequest.WithRequestInfo(r.Context(), &genericapirequest.RequestInfo{
					IsResourceRequest: true, APIGroup: group, APIVersion: "v1", Verb: verb,
				}))
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, r)
				read := verb == "get" || verb == "list" || verb == "watch"
				if skew == nil || read || group != "batch" {
					if w.Code != http.StatusAccepted {
						t.Errorf("%s in %s with the error %v: got %d, want %d", verb, group, skew, w.Code, http.StatusAccepted)
					}
					continue
				}
				var status metav1.Status
				if err := json.Unmarshal(w.Body.Bytes(), &status); err != nil {
					t.Fatalf("%s in %s: %v", verb, group, err)
				}
				if w.Code != http.StatusServiceUnavailable || status.Message != "too new" || status.Reason != metav1.StatusReasonServiceUnavailable {
					t.Errorf("%s in %s: got %d, %q, %s, want 503 with the error", verb, group, w.Code, status.Message, status.Reason)
				}
			}
		}
	}
}
