// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestResults(t *testing.T) {
	const start = `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"a says this\n"}
`
	for name, tc := range map[string]struct {
		events                  string
		passed, failed, skipped int
		ok                      bool
		failures, errors        string
	}{
		"passed and skipped": {
			events: start + `{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"skip","Package":"p","Test":"TestB"}
{"Action":"pass","Package":"p"}
`,
			passed: 1, skipped: 1, ok: true,
		},
		"failed subtest": {
			events: start + `{"Action":"fail","Package":"p","Test":"TestA/sub"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"fail","Package":"p"}
`,
			failed: 2, failures: "a says this", errors: "core TestA/sub\ncore TestA\n",
		},
		"messages": {
			events: start + `{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:7: got 1, want 2\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    etcd.go:9: stopped\n"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"fail","Package":"p"}
`,
			failed: 1, failures: "a says this", errors: "core TestA\n    a_test.go:7: got 1, want 2\n",
		},
		"unfinished test": {
			events: `{"Action":"pass","Package":"p","Test":"TestB"}
` + start + `{"Action":"fail","Package":"p"}
`,
			passed: 1, failed: 1, failures: "a says this",
		},
		"failed outside tests": {
			events: `{"Action":"output","Package":"p","Output":"no port left\n"}
{"Action":"fail","Package":"p"}
`,
			failed: 1, failures: "no port left",
		},
		"failed build": {
			events: `{"ImportPath":"p [p.test]","Action":"build-output","Output":"undefined: x\n"}
{"ImportPath":"p [p.test]","Action":"build-fail"}
{"Action":"fail","Package":"p"}
`,
			failed: 1, failures: "undefined: x",
		},
		"events end early": {
			events: start, failed: 1, failures: "a says this",
		},
		"no tests": {
			events: "sh: not found\n", failures: "sh: not found",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			r := newResults("core", &log)
			for line := range strings.Lines(tc.events) {
				r.add([]byte(line))
			}
			r.finish()
			if r.passed != tc.passed || r.failed != tc.failed || r.skipped != tc.skipped || r.ok() != tc.ok {
				t.Errorf("got %s (ok: %t), want %d passed, %d failed, %d skipped (ok: %t)", r.counts(), r.ok(), tc.passed, tc.failed, tc.skipped, tc.ok)
			}
			failures := r.failures.String()
			if strings.Count(failures, tc.failures) != 1 && tc.failures != "" {
				t.Errorf("got failures %q, want %q once", failures, tc.failures)
			}
			if tc.errors != "" && r.errors.String() != tc.errors {
				t.Errorf("got errors %q, want %q", r.errors.String(), tc.errors)
			}
			if tc.ok && failures != "" {
				t.Errorf("got failures %q, want none", failures)
			}
		})
	}
}
