// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package filters

import (
	"net/http"
	"slices"
)

// WithFrontProxyReadiness responds with 503, which clients retry, while ready returns an error.
// Without it, the server would treat proxied requests as anonymous and respond with 403, as if
// their users had no rights. Requests with an Authorization header do not come from the front proxy
// and are served, as are requests to alwaysAllowPaths.
func WithFrontProxyReadiness(handler http.Handler, ready func() error, alwaysAllowPaths []string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := ready(); err != nil && r.Header.Get("Authorization") == "" && !slices.Contains(alwaysAllowPaths, r.URL.Path) {
			w.Header().Set("Retry-After", "1")
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		handler.ServeHTTP(w, r)
	})
}
