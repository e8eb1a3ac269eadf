package transitions

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// facts are the numbers of a Job.
type facts struct {
	completions *int32
	parallelism int32
	// succeeded are the indexes that have succeeded. Of a Job without indexes only their
	// number counts.
	succeeded []int
	// failedIndexes are those that stay failed.
	failedIndexes []int
	// failures is how many Pods count as failed.
	failures int
	// running is how many Pods run, where a Job makes no more of them.
	running int32
}

// factsIn returns the numbers of a Job in the state of a cell.
func factsIn(c cell) facts {
	f := facts{completions: n(4), parallelism: 2}
	if c.mode == workQueue {
		f.completions = nil
	}
	switch c.state {
	case idle:
		f.parallelism = 0
	case scaledDown:
		f.parallelism = 1
	case partlySucceeded, suspendedSucceeded:
		f.succeeded, f.running = []int{0, 1}, 2
		switch c.mode {
		case indexed:
			f.succeeded = []int{1}
		case workQueue:
			f.succeeded, f.running = []int{0}, 1
		}
	case oneFailed, suspendedFailed:
		f.failures = 1
		if c.feature == podFailurePolicy { // which ignores it
			f.failures = 0
		}
		if c.perIndex() {
			f.failedIndexes = []int{0}
		}
	case podDeleted:
		f.failures = 1
		if c.perIndex() {
			f.failedIndexes = []int{1}
		}
	case criteriaMet:
		f.succeeded = []int{0, 1}
		if c.feature != successPolicy {
			f.completions = n(2)
		}
	case complete:
		f.succeeded = []int{0, 1, 2, 3}
		if c.mode == workQueue || c.feature == successPolicy {
			f.succeeded = []int{0, 1}
		}
	case failureTarget, failed:
		f.failures = 2
		if c.perIndex() {
			f.failedIndexes = []int{0}
		}
	}
	return f
}

// refusal returns what the error must say, and a word for the tables; empty where the change
// must be allowed.
func refusal(c cell) (message, word string) {
	before := factsIn(c)
	after := c.change.apply(before)
	numbers := c.change.kind == ofNumbers && !equal(before.completions, after.completions)
	selector := c.change.kind == ofGeneratedSelector || c.change.kind == ofManualSelector
	if condition := c.state.decided(); condition != "" && (numbers || selector) {
		return "may not be updated once the Job has the condition " + condition, "decided"
	}
	if selector {
		if c.change.refused != "" {
			return c.change.refused, "selector"
		}
		return "", ""
	}
	if !numbers {
		return "", ""
	}
	to, last := after.completions, -1
	if c.mode == indexed && len(before.succeeded) > 0 {
		last = slices.Max(before.succeeded)
	}
	switch kept := after.kept(c.mode); {
	case to == nil && c.mode == indexed:
		return "when completion mode is Indexed", "null"
	case to != nil && last >= 0 && last >= int(*to) && *to != after.parallelism:
		return fmt.Sprintf("may not be lower than %d, since index %d has succeeded", last+1, last), "index"
	// The controller would end the Job, and may not: a Job that is suspended has no start time.
	case c.state.isSuspended() && len(kept.succeeded)+len(kept.failedIndexes) > 0 && (to == nil || *to != 0) &&
		len(kept.succeeded)+len(kept.failedIndexes) >= int(*orOne(to)):
		return "may not be satisfied by the", "suspended"
	case to != nil && *to < 0:
		return "must be greater than or equal to 0", "number"
	case c.feature == successPolicy && *to < 2:
		return "spec.successPolicy.rules[0].succeededIndexes", "policy"
	case c.feature == maxFailedIndexes && c.state != failureTarget && c.state != failed && *to < 2:
		return "spec.maxFailedIndexes", "policy"
	}
	return "", ""
}

func equal(a, b *int32) bool { return a == nil && b == nil || a != nil && b != nil && *a == *b }

func orOne(completions *int32) *int32 {
	if completions == nil {
		return n(1)
	}
	return completions
}

// kept returns the numbers without the indexes that completions leave out.
func (f facts) kept(m mode) facts {
	if m != indexed || f.completions == nil {
		return f
	}
	without := func(indexes []int) []int {
		return slices.DeleteFunc(slices.Clone(indexes), func(i int) bool { return i >= int(*f.completions) })
	}
	f.succeeded, f.failedIndexes = without(f.succeeded), without(f.failedIndexes)
	return f
}

// open returns how many Pods must run with these numbers. The controller makes as many as
// may run in parallel and are missing; a work queue makes none after the first success.
func (f facts) open() int32 {
	if f.completions == nil {
		if len(f.succeeded) > 0 {
			return f.running
		}
		return f.parallelism
	}
	missing := *f.completions - int32(len(f.succeeded)) - int32(len(f.failedIndexes))
	return max(0, min(f.parallelism, missing))
}

// woken returns the numbers with a parallelism of 2, if the Job waits for one.
func (f facts) woken() facts {
	if more := f; f.parallelism == 0 {
		if more.parallelism = 2; more.open() > f.open() {
			return more
		}
	}
	return f
}

// outcome is how a Job must end.
type outcome struct {
	condition string
	facts
	// more says that further indexes may have succeeded, or Pods be counted as failed: those
	// that ran beside the ones that a successPolicy waits for.
	more bool
}

// end returns how a Job with these numbers must end once its Pods may succeed.
func (f facts) end(c cell) outcome {
	o := outcome{condition: "Complete", facts: f, more: c.feature == successPolicy && c.state.decided() == ""}
	switch {
	case c.state == failureTarget || c.state == failed:
		o.condition = "Failed"
		return o
	case c.state.decided() != "":
		return o
	}
	if len(f.failedIndexes) > 0 {
		o.condition = "Failed"
	}
	// A deleted Pod that is not yet taken for failed is never, if the Job is complete before
	// it is gone, or its index is left out.
	if c.state == podDeleted && c.replacesFailedOnly() && (f.open() == 0 || c.mode == indexed && *f.completions <= 1) {
		o.failures = 0
	}
	all := len(f.succeeded) + int(f.open())
	if f.completions != nil {
		all = max(len(f.succeeded), int(*f.completions))
	}
	if c.feature == successPolicy {
		all = 2
	}
	for i := range all {
		if len(o.succeeded) < all && !slices.Contains(o.succeeded, i) && !slices.Contains(f.failedIndexes, i) {
			o.succeeded = append(slices.Clone(o.succeeded), i)
		}
	}
	slices.Sort(o.succeeded)
	return o
}

// intervals writes indexes as the status does.
func intervals(indexes []int) string {
	var parts []string
	for i := 0; i < len(indexes); {
		j := i
		for j+1 < len(indexes) && indexes[j+1] == indexes[j]+1 {
			j++
		}
		first, last := strconv.Itoa(indexes[i]), strconv.Itoa(indexes[j])
		switch j - i {
		case 0:
			parts = append(parts, first)
		case 1:
			parts = append(parts, first, last)
		default:
			parts = append(parts, first+"-"+last)
		}
		i = j + 1
	}
	return strings.Join(parts, ",")
}
