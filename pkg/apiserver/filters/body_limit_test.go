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

func TestWithBodyLimit(t *testing.T) {
	for name, tc := range map[string]struct {
		body     string
		tooLarge bool
	}{
		"small":           {`{"spec":{"parallelism":2}}`, false},
		"many containers": {`{"spec":{"template":{"spec":{"containers":[` + strings.Repeat("{},", 999_000) + `{}]}}}}`, true},
	} {
		for sent, reader := range map[string]io.Reader{
			"at once":            strings.NewReader(tc.body),
			"in parts":           iotest.HalfReader(strings.NewReader(tc.body)),
			"with EOF at once":   iotest.DataErrReader(strings.NewReader(tc.body)),
			"without known size": io.MultiReader(strings.NewReader(tc.body)),
		} {
			t.Run(name+" "+sent, func(t *testing.T) {
				var body []byte
				var err, again error
				handler := WithBodyLimit(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					body, err = io.ReadAll(r.Body)
					_, again = r.Body.Read(make([]byte, 1))
				}))
				r := httptest.NewRequest(http.MethodPut, "/", reader)
				r.Header.Set("Content-Type", "application/json")
				handler.ServeHTTP(httptest.NewRecorder(), r)
				if apierrors.IsRequestEntityTooLargeError(err) != tc.tooLarge || err != nil && !tc.tooLarge {
					t.Errorf("got error %v, want a request entity too large: %t", err, tc.tooLarge)
				}
				if want := io.EOF; !tc.tooLarge && (again != want || string(body) != tc.body) {
					t.Errorf("the handler received another body, or %v at its end", again)
				}
				if tc.tooLarge && again != err {
					t.Errorf("the second read returned %v, want %v", again, err)
				}
			})
		}
	}
}
