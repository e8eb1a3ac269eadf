// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package filters

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestWithoutOpenAPIHash(t *testing.T) {
	for name, tc := range map[string]struct{ url, want string }{
		"document with hash":                     {"/openapi/v3/apis/batch/v1?hash=1", ""},
		"document with hash and other parameter": {"/openapi/v3/apis/batch/v1?hash=1&timeout=32s", "timeout=32s"},
		"document without hash":                  {"/openapi/v3/apis/batch/v1?timeout=32s", "timeout=32s"},
		"other path":                             {"/apis/batch/v1/jobs?hash=1", "hash=1"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			handler := WithoutOpenAPIHash(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.URL.RawQuery }))
			r := httptest.NewRequest(http.MethodGet, tc.url, nil)
			before := r.URL.String()
			handler.ServeHTTP(httptest.NewRecorder(), r)
			if got != tc.want {
				t.Errorf("got query %q, want %q", got, tc.want)
			}
			if after := r.URL.String(); after != before {
				t.Errorf("the filter changed the original request from %s to %s", before, after)
			}
		})
	}
}
