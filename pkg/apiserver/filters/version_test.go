// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package filters

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestWithVersionHeader(t *testing.T) {
	denied := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) })
	w := httptest.NewRecorder()
	WithVersionHeader(denied, "v1.2.3").ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/apis/batch/v1/jobs", nil))
	if got := w.Result().Header["Batchgate-Version"]; len(got) != 1 || got[0] != "v1.2.3" {
		t.Errorf("got the header %q", got)
	}
}
