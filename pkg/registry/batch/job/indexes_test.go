// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package job

import "testing"

func TestLastIndex(t *testing.T) {
	for indexes, want := range map[string]struct {
		last int
		any  bool
	}{
		"":        {0, false},
		"0":       {0, true},
		"5":       {5, true},
		"0-2":     {2, true},
		"0,2-4,7": {7, true},
		"0,2-14":  {14, true},
		"x":       {0, false},
	} {
		if last, any := lastIndex(indexes); last != want.last || any != want.any {
			t.Errorf("lastIndex(%q) = %d, %t; want %d, %t", indexes, last, any, want.last, want.any)
		}
	}
}

func TestCountIndexes(t *testing.T) {
	for _, tc := range []struct {
		indexes     string
		limit, want int
	}{
		{"", 5, 0},
		{"0", 0, 0},
		{"0", 1, 1},
		{"0-4", 3, 3},
		{"0,2-4,7", 5, 4},
		{"0,2-4,7", 8, 5},
		{"3-5", 2, 0},
		{"x,1-y,1", 5, 1},
	} {
		if got := countIndexes(tc.indexes, tc.limit); got != tc.want {
			t.Errorf("countIndexes(%q, %d) = %d, want %d", tc.indexes, tc.limit, got, tc.want)
		}
	}
}
