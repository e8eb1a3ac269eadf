// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package filters

import (
	"net/http"

	"github.com/batchgate/batchgate/pkg/apis/policy"
)

// WithVersionHeader sets policy.VersionHeader in every response. kube-apiserver passes it on, and does
// not set it itself, so clients can tell which server has answered.
func WithVersionHeader(handler http.Handler, version string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(policy.VersionHeader, version)
		handler.ServeHTTP(w, r)
	})
}
