// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package steps

import "testing"

// Without its build tag, no environment variable makes the process kill itself.
func TestRun_NeverKillsInRelease(t *testing.T) {
	if afterAction != nil {
		t.Error("a hook is set")
	}
}

func TestRun_CallsHook(t *testing.T) {
	var called []string
	afterAction = func(name string) { called = append(called, name) }
	defer func() { afterAction = nil }()
	var ran []string
	_ = Run(t.Context(), testSteps(&ran), func(Result) {})
	if len(called) != 1 || called[0] != "a" {
		t.Errorf("called after %q", called)
	}
}
