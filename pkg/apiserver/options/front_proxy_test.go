package options

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestRequestsWaitUntilTheFrontProxyIsKnown(t *testing.T) {
	for name, tc := range map[string]struct {
		path, token string
		known       error
		code        int
	}{
		"an update, known":           {"/apis/batch/v1/namespaces/a/jobs/b", "", nil, 200},
		"an update, not yet":         {"/apis/batch/v1/namespaces/a/jobs/b", "", errors.New("not yet"), 503},
		"with a token, not yet":      {"/apis/batch/v1/namespaces/a/jobs/b", "Bearer x", errors.New("not yet"), 200},
		"the health, not yet":        {"/readyz", "", errors.New("not yet"), 200},
		"what looks like the health": {"/readyz/../apis", "", errors.New("not yet"), 503},
	} {
		t.Run(name, func(t *testing.T) {
			served := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200) })
			handler := refuseUnknown(served, func(*http.Request) error { return tc.known }, []string{"/healthz", "/readyz", "/livez"})
			r := httptest.NewRequest(http.MethodPatch, "https://batchgate", nil)
			r.URL.Path = tc.path
			if tc.token != "" {
				r.Header.Set("Authorization", tc.token)
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code != tc.code {
				t.Errorf("the answer is %d, want %d: %s", w.Code, tc.code, w.Body)
			}
			if tc.code == 503 && w.Header().Get("Retry-After") == "" {
				t.Error("the answer does not say when to come again")
			}
		})
	}
}
