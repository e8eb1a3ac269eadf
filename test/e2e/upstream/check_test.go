package upstream

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// refusalText is what the gate says of each field.
const refusalText = ": Forbidden: may not be updated"

// check fails the test for each spec that has not ended as it must.
func check(t *testing.T, results map[string]map[string]result) {
	for _, name := range slices.Sorted(maps.Keys(results[native])) {
		t.Run(name, func(t *testing.T) {
			checkNative(t, name, results[native][name])
			if notRunnable[name] != "" {
				return
			}
			if gated[name] == nil {
				expectPassed(t, strict, results[strict][name])
				return
			}
			if err := refusedByGate(results[strict][name], gated[name]); err != nil {
				t.Errorf("%s: %v", strict, err)
			}
			expectPassed(t, granted, results[granted][name])
			if len(gated[name]) == 1 {
				return
			}
			for _, field := range gated[name] {
				if err := refusedByGate(results[lacking(field)][name], []string{field}); err != nil {
					t.Errorf("%s: %v", lacking(field), err)
				}
			}
		})
	}
	for column, of := range results {
		for name := range of {
			if _, ok := results[native][name]; !ok {
				t.Errorf("%s: %q was not run natively: %s", column, name, of[name].messages)
			}
		}
	}
	for _, name := range slices.Concat(slices.Collect(maps.Keys(gated)), slices.Collect(maps.Keys(notRunnable))) {
		if _, ok := results[native][name]; !ok {
			t.Errorf("%q is in a list of specs_test.go, and there is no such spec", name)
		}
	}
}

func checkNative(t *testing.T, name string, r result) {
	if reason := notRunnable[name]; reason == "" {
		expectPassed(t, native, r)
	} else if r.passed() {
		t.Errorf("it passes natively, and is in notRunnable of specs_test.go (%s): remove it there", reason)
	}
}

func expectPassed(t *testing.T, column string, r result) {
	t.Helper()
	t.Logf("%s: %s in %.0f s", column, r.State, r.RunTime.Seconds())
	if !r.passed() {
		t.Errorf("%s: %s: %s\n%s", column, r.State, r.messages, r.output)
	}
}

// refusedByGate returns an error unless the gate has made the spec fail, and has named one of
// the fields.
func refusedByGate(r result, fields []string) error {
	if r.passed() {
		return fmt.Errorf("it passed, and must have been refused an update of %s", strings.Join(fields, ", "))
	}
	text := r.messages
	if r.State == "timedout" {
		// It was still trying. What it was told at the end is in its output only.
		text = r.output
	}
	for line := range strings.Lines(text) {
		for _, field := range fields {
			prefix, _, _ := strings.Cut(field, "[*]")
			if strings.Contains(line, prefix) && strings.Contains(line, refusalText) {
				return nil
			}
		}
	}
	return fmt.Errorf("%s, and not by a refusal of %s: %s\n%s", r.State, strings.Join(fields, ", "), r.messages, r.output)
}
