// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package fieldpath

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// An Index of many patterns finds the same ones as Pattern.Matches.
func TestIndex_MatchesPatterns(t *testing.T) {
	texts := append(AllPatterns(), "*",
		`metadata.annotations["*"]`, `metadata.annotations["a*"]`, `metadata.annotations["a/*"]`, `metadata.annotations["a/b"]`, `metadata.annotations["a/b*"]`,
		`metadata.finalizers["a/*"]`, `spec.template.spec.containers[name="a"]`, `spec.template.spec.containers[name="a"].image`,
		`spec.template.spec.containers[name="a"].ports[*].name`, `spec.template.spec.containers[*].ports[containerPort=1,protocol="TCP"]`)
	paths := append(AllPatterns(), `metadata.annotations["a"]`, `metadata.annotations["a/b"]`, `metadata.annotations["a/bc"]`, `metadata.annotations[""]`,
		`metadata.annotations["*"]`, `metadata.finalizers["a/b"]`, `spec.template.spec.containers[name="a"].image`, `spec.template.spec.containers[name="b"].image`,
		`spec.template.spec.containers[name="a"].ports[containerPort=1,protocol="TCP"].name`)
	var x Index
	var patterns []Pattern
	for _, text := range texts {
		pattern, err := ParsePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		number := x.Add(pattern)
		if number > len(patterns) || number < 0 {
			t.Fatalf("%s has the number %d of %d", text, number, len(patterns))
		}
		if number == len(patterns) {
			patterns = append(patterns, pattern)
		}
		if got := patterns[number].String(); got != pattern.String() {
			t.Fatalf("%s has the number of %s", pattern, got)
		}
	}
	for _, text := range paths {
		path, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		var want []int
		for i, pattern := range patterns {
			if pattern.Matches(path) {
				want = append(want, i)
			}
		}
		got := x.AppendMatches(nil, path)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the patterns of %s (-want +got):\n%s", text, diff)
		}
	}
}
