// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package job

import (
	"strconv"
	"strings"
)

// lastIndex returns the highest index in status.completedIndexes ("0,2-4,7"), and false if
// there is none. The Job controller writes the list in ascending order.
func lastIndex(indexes string) (int, bool) {
	if indexes == "" {
		return 0, false
	}
	last := indexes[strings.LastIndexAny(indexes, ",-")+1:]
	n, err := strconv.Atoi(last)
	return n, err == nil
}

// countIndexes returns how many indexes in a list like status.completedIndexes are below
// limit. It skips intervals that it cannot parse.
func countIndexes(indexes string, limit int) int {
	count := 0
	for interval := range strings.SplitSeq(indexes, ",") {
		from, to, isRange := strings.Cut(interval, "-")
		first, err := strconv.Atoi(from)
		if err != nil {
			continue
		}
		last := first
		if isRange {
			if last, err = strconv.Atoi(to); err != nil {
				continue
			}
		}
		count += max(0, min(last+1, limit)-first)
	}
	return count
}
