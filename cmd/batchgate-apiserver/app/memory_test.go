// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"math"
	"runtime/debug"
	"testing"
)

func TestSetMemoryLimit_GarbageCollection(t *testing.T) {
	t.Setenv("AUTOMEMLIMIT", "off") // the tests may run in a container
	for name, tc := range map[string]struct {
		limit int64
		gogc  string
		want  int
	}{
		"no limit":       {math.MaxInt64, "", 100},
		"limit":          {1 << 30, "", gcPercent},
		"limit and GOGC": {1 << 30, "50", 100},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("GOGC", tc.gogc)
			defer debug.SetMemoryLimit(debug.SetMemoryLimit(tc.limit))
			defer debug.SetGCPercent(debug.SetGCPercent(100))
			setMemoryLimit()
			if got := debug.SetGCPercent(100); got != tc.want {
				t.Errorf("the garbage collection percentage is %d, want %d", got, tc.want)
			}
		})
	}
}
