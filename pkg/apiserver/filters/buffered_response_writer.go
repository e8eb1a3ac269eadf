// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package filters

import (
	"bytes"
	"net/http"
)

// bufferedResponseWriter keeps a response in memory, so that a filter can change it.
type bufferedResponseWriter struct {
	header http.Header
	body   bytes.Buffer
	code   int
}

var _ http.ResponseWriter = &bufferedResponseWriter{}

// Header implements http.ResponseWriter.
func (w *bufferedResponseWriter) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *bufferedResponseWriter) WriteHeader(code int) { w.code = code }

// Write implements http.ResponseWriter.
func (w *bufferedResponseWriter) Write(p []byte) (int, error) {
	if w.code == 0 {
		w.code = http.StatusOK
	}
	return w.body.Write(p)
}
