// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package filters

import (
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// maxPatchNesting is the maximum depth of objects and lists in a JSON patch. A Job has about ten
// levels. Upstream applies a merge patch in a time that is quadratic in its depth, and its decoder
// allows 10,000 levels: a patch of 20 kB could keep a server busy for a minute.
const maxPatchNesting = 1_000

// WithPatchNestingLimit responds with 400 to a patch in JSON that is nested too deeply. It checks
// the body while the handler reads it.
func WithPatchNestingLimit(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPatch && r.Body != nil && isJSON(r.Header.Get("Content-Type")) {
			limited := *r
			limited.Body = &nestingReader{ReadCloser: r.Body}
			r = &limited
		}
		handler.ServeHTTP(w, r)
	})
}

// isJSON reports whether the content type is JSON. Other types, such as apply patches in YAML, are
// not merged by the code that is slow.
func isJSON(contentType string) bool {
	mediaType, _, err := mime.ParseMediaType(contentType)
	return err == nil && (mediaType == "application/json" || strings.HasSuffix(mediaType, "+json"))
}

// nestingReader fails once the JSON that it has read is nested too deeply.
type nestingReader struct {
	io.ReadCloser
	depth             int
	inString, escaped bool
}

// Read implements io.Reader.
func (r *nestingReader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	for _, c := range p[:n] {
		switch {
		case r.escaped:
			r.escaped = false
		case r.inString:
			r.escaped = c == '\\'
			r.inString = c != '"'
		case c == '"':
			r.inString = true
		case c == '{', c == '[':
			r.depth++
		case c == '}', c == ']':
			r.depth--
		}
		if r.depth > maxPatchNesting {
			return 0, apierrors.NewBadRequest(fmt.Sprintf("the patch is nested more than %d levels deep", maxPatchNesting))
		}
	}
	return n, err
}
