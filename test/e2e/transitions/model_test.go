// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package transitions

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/test/framework"
)

// model is the part of a Job that decides its outcome.
type model struct {
	completions *int32
	parallelism int32
	// succeeded are the succeeded indexes. For a Job without indexes, only the length counts.
	succeeded []int
	// failedIndexes are not retried.
	failedIndexes []int
	failures      int // status.failed
	// running is the number of running Pods, if the Job is a work queue of which a Pod has succeeded. The
	// controller creates no more Pods for it.
	running int32
}

// modelOf returns the model of a Job in the state of c, before the change.
func modelOf(c combination) model {
	m := model{completions: i32(4), parallelism: 2}
	if c.mode == workQueue {
		m.completions = nil
	}
	switch c.state {
	case idle:
		m.parallelism = 0
	case scaledDown:
		m.parallelism = 1
	case partlySucceeded, suspendedSucceeded:
		m.succeeded, m.running = []int{0, 1}, 2
		switch c.mode {
		case indexed:
			m.succeeded = []int{1}
		case workQueue:
			m.succeeded, m.running = []int{0}, 1
		}
	case oneFailed, suspendedFailed:
		m.failures = 1
		if c.feature == podFailurePolicy { // which ignores the failure
			m.failures = 0
		}
		if c.hasPerIndexBackoff() {
			m.failedIndexes = []int{0}
		}
	case podDeleted:
		m.failures = 1
		if c.hasPerIndexBackoff() {
			m.failedIndexes = []int{1}
		}
	case criteriaMet:
		m.succeeded = []int{0, 1}
		if c.feature != successPolicy {
			m.completions = i32(2)
		}
	case complete:
		m.succeeded = []int{0, 1, 2, 3}
		if c.mode == workQueue || c.feature == successPolicy {
			m.succeeded = []int{0, 1}
		}
	case failureTarget, failed:
		m.failures = 2
		if c.hasPerIndexBackoff() {
			m.failedIndexes = []int{0}
		}
	}
	return m
}

// rejection returns a part of the expected error, and a short reason for
// docs/generated/transitions.md. Both are empty if the change is allowed.
func rejection(c combination) (message, reason string) {
	before := modelOf(c)
	after := c.change.apply(before)
	numbers := c.change.kind == changesNumbers && !ptr.Equal(before.completions, after.completions)
	selector := c.change.kind == changesGeneratedSelector || c.change.kind == changesManualSelector
	if condition := c.state.outcomeCondition(); condition != "" && (numbers || selector) {
		return "may not be updated once the Job has the condition " + condition, "decided"
	}
	if selector {
		if c.change.rejection != "" {
			return c.change.rejection, "selector"
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
	switch {
	case to == nil && c.mode == indexed:
		return "when completion mode is Indexed", "null"
	case to != nil && last >= 0 && last >= int(*to) && *to != after.parallelism:
		return fmt.Sprintf("may not be lower than %d, since index %d has succeeded", last+1, last), "index"
	// The controller would complete the Job, but a suspended Job has no start time and cannot complete.
	case !suspendedKeepStartTime && after.endsSuspended(c) && (to == nil || *to != 0):
		return "must be greater than the", "suspended"
	case to != nil && *to < 0:
		return "must be greater than or equal to 0", "number"
	case c.feature == successPolicy && *to < 2:
		return "spec.successPolicy.rules[0].succeededIndexes", "policy"
	case c.feature == maxFailedIndexes && c.state != failureTarget && c.state != failed && *to < 2:
		return "spec.maxFailedIndexes", "policy"
	}
	return "", ""
}

// suspendedKeepStartTime is set for control planes before Kubernetes 1.36. Their Job controller keeps the
// start time of a Job that is suspended, so that the Job can end.
var suspendedKeepStartTime = framework.ControlPlaneIs("1.35")

// endsSuspended reports whether the Job controller would end a suspended Job with this model. From Kubernetes
// 1.36 on, only a Job with 0 completions can end then.
func (m model) endsSuspended(c combination) bool {
	if !c.state.isSuspended() || ptr.Equal(m.completions, ptr.To[int32](0)) {
		return c.state.isSuspended()
	}
	kept := m.withoutDroppedIndexes(c.mode)
	finished := len(kept.succeeded) + len(kept.failedIndexes)
	return finished > 0 && finished >= int(ptr.Deref(m.completions, 1))
}

// withoutDroppedIndexes returns the model without indexes beyond completions.
func (m model) withoutDroppedIndexes(jobMode mode) model {
	if jobMode != indexed || m.completions == nil {
		return m
	}
	without := func(indexes []int) []int {
		return slices.DeleteFunc(slices.Clone(indexes), func(i int) bool { return i >= int(*m.completions) })
	}
	m.succeeded, m.failedIndexes = without(m.succeeded), without(m.failedIndexes)
	return m
}

// expectedRunning returns the number of Pods that run. The controller creates missing Pods up to
// parallelism. A work queue gets no new Pods after the first success.
func (m model) expectedRunning() int32 {
	if m.completions == nil {
		if len(m.succeeded) > 0 {
			return m.running
		}
		return m.parallelism
	}
	missing := *m.completions - int32(len(m.succeeded)) - int32(len(m.failedIndexes))
	return max(0, min(m.parallelism, missing))
}

// unblocked returns the model with a parallelism of 2 if a parallelism of 0 keeps the Job from ending.
func (m model) unblocked() model {
	if more := m; m.parallelism == 0 {
		if more.parallelism = 2; more.expectedRunning() > m.expectedRunning() {
			return more
		}
	}
	return m
}

// outcome is the expected end of a Job.
type outcome struct {
	condition string
	model
	// mayExceed is set if more Pods may count as succeeded or failed than the model says, because a
	// successPolicy ends the Job while other Pods run.
	mayExceed bool
}

// outcome returns how the Job ends after the test lets its Pods succeed.
func (m model) outcome(c combination) outcome {
	o := outcome{condition: "Complete", model: m, mayExceed: c.feature == successPolicy && c.state.outcomeCondition() == ""}
	switch {
	case c.state == failureTarget || c.state == failed:
		o.condition = "Failed"
		return o
	case c.state.outcomeCondition() != "":
		return o
	}
	if len(m.failedIndexes) > 0 {
		o.condition = "Failed"
	}
	// The deleted Pod does not count as failed yet. It never will if the Job completes before the Pod is
	// gone, or if completions drops its index.
	if c.state == podDeleted && c.replacesFailedOnly() && (m.expectedRunning() == 0 || c.mode == indexed && *m.completions <= 1) {
		o.failures = 0
	}
	all := len(m.succeeded) + int(m.expectedRunning())
	if m.completions != nil {
		all = max(len(m.succeeded), int(*m.completions))
	}
	if c.feature == successPolicy {
		all = 2
	}
	for i := range all {
		if len(o.succeeded) < all && !slices.Contains(o.succeeded, i) && !slices.Contains(m.failedIndexes, i) {
			o.succeeded = append(slices.Clone(o.succeeded), i)
		}
	}
	slices.Sort(o.succeeded)
	return o
}

// formatIndexes formats indexes as in status.completedIndexes.
func formatIndexes(indexes []int) string {
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
