// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package filters

import (
	"net/http"

	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
)

// WithConnectionClose closes HTTP/1.1 connections gracefully, so that no request of a client
// that reuses connections fails during a shutdown. Once shutdownInitiated is closed, each response
// carries "Connection: close". Within --shutdown-delay-duration these clients open new
// connections, which reach other replicas, and the server closes no connection that is in use.
//
// A watch that is open at the start of the shutdown has already sent its response headers. If its
// connection were reusable, a client could reuse it at the moment when the server closes it. Responses
// to long-running requests therefore always carry the header.
//
// HTTP/2 has no such header, see docs/design/0033-http-1-1.md.
func WithConnectionClose(handler http.Handler, shutdownInitiated <-chan struct{}, resolver genericapirequest.RequestInfoResolver, longRunning genericapirequest.LongRunningRequestCheck) http.Handler {
	isLongRunning := func(r *http.Request) bool {
		info, err := resolver.NewRequestInfo(r)
		return err == nil && longRunning(r, info)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 1 && (isClosed(shutdownInitiated) || isLongRunning(r)) {
			w.Header().Set("Connection", "close")
		}
		handler.ServeHTTP(w, r)
	})
}

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}
