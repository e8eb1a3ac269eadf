// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package steps

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var errBroken = errors.New("broken")

func testSteps(ran *[]string) []Step {
	step := func(name, undo string, err error) Step {
		return Step{Name: name, Undo: undo, Run: func(context.Context) (string, error) {
			*ran = append(*ran, name)
			return "did " + name, err
		}}
	}
	return []Step{step("a", "undo a", nil), step("b", "undo b", errBroken), step("c", "", nil)}
}

func TestCheck_RunsAll(t *testing.T) {
	var ran []string
	var results []Result
	err := Check(t.Context(), testSteps(&ran), func(r Result) { results = append(results, r) })
	if err == nil || err.Error() != "1 of 3 checks failed" {
		t.Errorf("unexpected error: %v", err)
	}
	want := []Result{{Name: "a", Detail: "did a", Undo: "undo a"}, {Name: "b", Error: "broken"}, {Name: "c", Detail: "did c"}}
	if diff := cmp.Diff(want, results); diff != "" {
		t.Errorf("the results (-want +got):\n%s", diff)
	}
	if err := Check(t.Context(), testSteps(&ran)[:1], func(Result) {}); err != nil {
		t.Error(err)
	}
}

func TestRun_StopsAtFirstError(t *testing.T) {
	var ran []string
	err := Run(t.Context(), testSteps(&ran), func(Result) {})
	if !errors.Is(err, errBroken) || err.Error() != "b: broken" {
		t.Errorf("unexpected error: %v", err)
	}
	if diff := cmp.Diff([]string{"a", "b"}, ran); diff != "" {
		t.Errorf("the steps (-want +got):\n%s", diff)
	}
}
