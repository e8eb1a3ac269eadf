// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package filters

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

func TestWithPatchNestingLimit(t *testing.T) {
	nested := func(depth int) string { return strings.Repeat(`{"a":[`, depth/2) + strings.Repeat("]}", depth/2) }
	const merge = "application/merge-patch+json"
	for name, tc := range map[string]struct {
		method, contentType, body string
		rejected                  bool
	}{
		"merge patch at the limit":      {http.MethodPatch, merge, nested(maxPatchNesting), false},
		"merge patch over the limit":    {http.MethodPatch, merge, nested(maxPatchNesting + 2), true},
		"strategic merge patch":         {http.MethodPatch, "application/strategic-merge-patch+json; charset=utf-8", nested(5_000), true},
		"invalid parameter":             {http.MethodPatch, merge + ";x", nested(5_000), true},
		"deep for its size":             {http.MethodPatch, merge, strings.Repeat(`{"a":`, 50) + `"` + strings.Repeat("x", 1<<20) + `"` + strings.Repeat("}", 50), true},
		"large, and as deep as a Job":   {http.MethodPatch, merge, strings.Repeat(`{"a":`, 15) + `"` + strings.Repeat("x", 2<<20) + `"` + strings.Repeat("}", 15), false},
		"JSON Patch":                    {http.MethodPatch, "application/json-patch+json", nested(5_000), true},
		"apply patch in YAML":           {http.MethodPatch, "application/apply-patch+yaml", nested(5_000), false},
		"PUT":                           {http.MethodPut, "application/json", nested(5_000), false},
		"brackets in a string":          {http.MethodPatch, merge, `{"a":"` + strings.Repeat("[", 5_000) + `"}`, false},
		"brackets after escaped quotes": {http.MethodPatch, merge, `{"a":"\\\"` + strings.Repeat("[", 5_000) + `"}`, false},
		"brackets after a string":       {http.MethodPatch, merge, `{"a\\":` + strings.Repeat("[", 5_000), true},
		"many siblings":                 {http.MethodPatch, merge, `{"a":[` + strings.Repeat("{},", 5_000) + `{}]}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			var body []byte
			var err error
			handler := WithPatchNestingLimit(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { body, err = io.ReadAll(r.Body) }))
			r := httptest.NewRequest(tc.method, "/", iotest.HalfReader(strings.NewReader(tc.body)))
			r.Header.Set("Content-Type", tc.contentType)
			handler.ServeHTTP(httptest.NewRecorder(), r)
			if apierrors.IsBadRequest(err) != tc.rejected || err != nil && !tc.rejected {
				t.Errorf("got error %v, want a bad request: %t", err, tc.rejected)
			}
			if !tc.rejected && string(body) != tc.body {
				t.Error("the handler received another body")
			}
		})
	}
}
