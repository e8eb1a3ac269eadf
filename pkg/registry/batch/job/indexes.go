package job

import (
	"strconv"
	"strings"
)

// lastIndex returns the highest index of a status' completedIndexes ("0,2-4,7"), and
// whether there is one. The list is sorted, and written by the Job controller.
func lastIndex(indexes string) (int, bool) {
	if indexes == "" {
		return 0, false
	}
	last := indexes[strings.LastIndexAny(indexes, ",-")+1:]
	n, err := strconv.Atoi(last)
	return n, err == nil
}

// countIndexes returns how many of a status' completedIndexes are below limit. What is no
// index does not count.
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
