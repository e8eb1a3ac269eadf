// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package filters

import (
	"net/http"
	"strings"
)

// WithoutOpenAPIHash removes the hash parameter from requests for OpenAPI v3 documents. The
// generic server redirects a request whose hash does not match the document. The aggregator
// caches hashes for a minute, which is longer than a rollout of a new release takes, and turns
// the redirect into an error. Without the hash, clients cannot cache a document forever and have
// to revalidate it by its ETag.
func WithoutOpenAPIHash(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if query := r.URL.Query(); strings.HasPrefix(r.URL.Path, openAPIV3Path+"/") && query.Has("hash") {
			query.Del("hash")
			r = r.Clone(r.Context())
			r.URL.RawQuery = query.Encode()
		}
		handler.ServeHTTP(w, r)
	})
}
