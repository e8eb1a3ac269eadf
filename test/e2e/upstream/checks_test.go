// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// denialText follows the field in the message of a denied update.
const denialText = ": Forbidden: may not be updated"

// checkResults fails the test for each spec with an unexpected result.
func checkResults(t *testing.T, results map[string]map[string]result) {
	for _, name := range slices.Sorted(maps.Keys(results[native])) {
		t.Run(name, func(t *testing.T) {
			checkNative(t, name, results[native][name])
			if notPassingNatively[name] != "" {
				return
			}
			if gatedFields[name] == nil {
				expectPassed(t, withoutPolicy, results[withoutPolicy][name])
				return
			}
			if err := deniedByGate(results[withoutPolicy][name], gatedFields[name]); err != nil {
				t.Errorf("%s: %v", withoutPolicy, err)
			}
			expectPassed(t, withPolicy, results[withPolicy][name])
			if len(gatedFields[name]) == 1 {
				return
			}
			for _, field := range gatedFields[name] {
				if err := deniedByGate(results[withoutField(field)][name], []string{field}); err != nil {
					t.Errorf("%s: %v", withoutField(field), err)
				}
			}
		})
	}
	for column, specs := range results {
		for name := range specs {
			if _, ok := results[native][name]; !ok {
				t.Errorf("%s: %q did not run natively: %s", column, name, specs[name].messages)
			}
		}
	}
	if binaries.Kubernetes != "" {
		return // older versions have fewer specs
	}
	for _, name := range slices.Concat(slices.Collect(maps.Keys(gatedFields)), slices.Collect(maps.Keys(notPassingNatively))) {
		if _, ok := results[native][name]; !ok {
			t.Errorf("specs_test.go lists %q, but there is no such spec", name)
		}
	}
}

func checkNative(t *testing.T, name string, r result) {
	if reason := notPassingNatively[name]; reason == "" {
		expectPassed(t, native, r)
	} else if r.passed() {
		t.Errorf("the spec passes natively; remove it from notPassingNatively in specs_test.go (%s)", reason)
	}
}

func expectPassed(t *testing.T, column string, r result) {
	t.Helper()
	t.Logf("%s: %s in %.0f s", column, r.State, r.RunTime.Seconds())
	if !r.passed() {
		t.Errorf("%s: %s: %s\n%s", column, r.State, r.messages, r.output)
	}
}

// deniedByGate returns an error unless the spec failed because the gate denied an update of one of the
// fields.
func deniedByGate(r result, fields []string) error {
	if r.passed() {
		return fmt.Errorf("the spec passed, but the gate must deny its update of %s", strings.Join(fields, ", "))
	}
	for line := range strings.Lines(r.messages + "\n" + r.denials) {
		for _, field := range fields {
			prefix, _, _ := strings.Cut(field, "[*]")
			if strings.Contains(line, prefix) && strings.Contains(line, denialText) {
				return nil
			}
		}
	}
	return fmt.Errorf("%s without a denied update of %s: %s\n%s", r.State, strings.Join(fields, ", "), r.messages, r.output)
}
