// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package filters

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestWithFrontProxyReadiness(t *testing.T) {
	notReady := errors.New("not ready")
	for name, tc := range map[string]struct {
		path, token string
		ready       error
		want        int
	}{
		"ready":                               {"/apis/batch/v1/namespaces/a/jobs/b", "", nil, http.StatusOK},
		"not ready":                           {"/apis/batch/v1/namespaces/a/jobs/b", "", notReady, http.StatusServiceUnavailable},
		"token, not ready":                    {"/apis/batch/v1/namespaces/a/jobs/b", "Bearer x", notReady, http.StatusOK},
		"health path, not ready":              {"/readyz", "", notReady, http.StatusOK},
		"path through health path, not ready": {"/readyz/../apis", "", notReady, http.StatusServiceUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			served := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
			handler := WithFrontProxyReadiness(served, func() error { return tc.ready }, []string{"/healthz", "/readyz", "/livez"})
			r := httptest.NewRequest(http.MethodPatch, "https://batchgate", nil)
			r.URL.Path = tc.path
			if tc.token != "" {
				r.Header.Set("Authorization", tc.token)
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code != tc.want {
				t.Errorf("got status %d, want %d: %s", w.Code, tc.want, w.Body)
			}
			if tc.want == http.StatusServiceUnavailable && w.Header().Get("Retry-After") == "" {
				t.Error("the response has no Retry-After header")
			}
		})
	}
}
