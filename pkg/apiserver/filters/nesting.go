// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package filters

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Upstream reads each byte of a merge patch several times for each level that the byte is nested
// in, and its decoder allows 10,000 levels. A patch of 20 kB with that depth, or of 3 MB with a
// tenth of it, could keep a server busy for a minute.
const (
	// maxPatchNesting is the maximum depth of objects and lists in a JSON patch. A Job has about ten
	// levels.
	maxPatchNesting = 1_000
	// maxPatchNestingSum is the maximum sum of the depths of all bytes of a JSON patch. A patch of
	// 2 MiB, which is the size limit of etcd, may have a depth of 16 everywhere.
	maxPatchNestingSum = 32 << 20
)

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
// not merged by the code that is slow. Like upstream, it ignores the parameters even if they are
// invalid.
func isJSON(contentType string) bool {
	mediaType, _, _ := strings.Cut(contentType, ";")
	return mediaType == "application/json" || strings.HasSuffix(mediaType, "+json")
}

// nestingReader fails once the JSON that it has read is nested too deeply.
type nestingReader struct {
	io.ReadCloser
	depth, sum        int
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
		if r.sum += r.depth; r.sum > maxPatchNestingSum {
			return 0, apierrors.NewBadRequest("the patch is nested too deeply for its size")
		}
		if r.depth > maxPatchNesting {
			return 0, apierrors.NewBadRequest(fmt.Sprintf("the patch is nested more than %d levels deep", maxPatchNesting))
		}
	}
	return n, err
}
