// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package filters

import (
	"bytes"
	"io"
	"net/http"

	"github.com/batchgate/batchgate/pkg/apiserver/bodylimit"
)

// WithBodyLimit rejects a request whose body takes too much memory or time to decode, although it
// is not larger than upstream's limit. It checks the body when the handler has read it, before the
// handler decodes it.
func WithBodyLimit(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != nil && r.Body != http.NoBody {
			limited := *r
			limited.Body = &bodyReader{ReadCloser: r.Body, contentType: r.Header.Get("Content-Type")}
			r = &limited
		}
		handler.ServeHTTP(w, r)
	})
}

// bodyReader returns an error instead of io.EOF if the body exceeds the limits. Upstream reads a
// body to its end, or rejects it because of its size, before it decodes it.
type bodyReader struct {
	io.ReadCloser
	contentType string
	body        bytes.Buffer
	err         error
}

// Read implements io.Reader.
func (r *bodyReader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.ReadCloser.Read(p)
	r.body.Write(p[:n])
	if err == io.EOF {
		if tooLarge := bodylimit.Check(r.contentType, r.body.Bytes()); tooLarge != nil {
			err = tooLarge
		}
		r.body = bytes.Buffer{}
	}
	r.err = err
	return n, err
}
