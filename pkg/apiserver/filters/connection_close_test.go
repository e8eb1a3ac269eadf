// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package filters

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"k8s.io/apimachinery/pkg/util/sets"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	genericfilters "k8s.io/apiserver/pkg/server/filters"
)

func TestWithConnectionClose(t *testing.T) {
	resolver := &genericapirequest.RequestInfoFactory{APIPrefixes: sets.NewString("apis"), GrouplessAPIPrefixes: sets.NewString()}
	longRunning := genericfilters.BasicLongRunningRequestCheck(sets.NewString("watch"), sets.NewString())
	for name, tc := range map[string]struct {
		url      string
		protocol int
		shutdown bool
		want     string
	}{
		"list":                     {"/apis/batch/v1/jobs", 1, false, ""},
		"list during shutdown":     {"/apis/batch/v1/jobs", 1, true, "close"},
		"watch":                    {"/apis/batch/v1/jobs?watch=true", 1, false, "close"},
		"watch during shutdown":    {"/apis/batch/v1/jobs?watch=true", 1, true, "close"},
		"HTTP/2 list in shutdown":  {"/apis/batch/v1/jobs", 2, true, ""},
		"HTTP/2 watch in shutdown": {"/apis/batch/v1/jobs?watch=true", 2, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			shutdown := make(chan struct{})
			if tc.shutdown {
				close(shutdown)
			}
			served := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
			r := httptest.NewRequest(http.MethodGet, tc.url, nil)
			r.ProtoMajor = tc.protocol
			w := httptest.NewRecorder()
			WithConnectionClose(served, shutdown, resolver, longRunning).ServeHTTP(w, r)
			if got := w.Header().Get("Connection"); got != tc.want {
				t.Errorf("got Connection header %q, want %q", got, tc.want)
			}
		})
	}
}
