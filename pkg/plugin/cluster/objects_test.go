// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import "testing"

func TestDifference(t *testing.T) {
	for name, tc := range map[string]struct {
		theirs, ours []string
		want         string
	}{
		"none":    {[]string{"b", "a"}, []string{"a", "b"}, ""},
		"missing": {[]string{"a", "b"}, []string{"a"}, "1 missing (b)"},
		"both":    {[]string{"a", "b"}, []string{"a", "c"}, "1 missing (b), 1 more (c)"},
		"many":    {nil, []string{"a", "b", "c", "d"}, "4 more (a; b; c)"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Difference(tc.theirs, tc.ours); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
