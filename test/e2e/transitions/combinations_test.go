// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package transitions

import (
	"slices"

	"k8s.io/utils/ptr"
)

type mode string

const (
	nonIndexed mode = "NonIndexed"
	workQueue  mode = "work queue"
	indexed    mode = "Indexed"
)

var modes = []mode{nonIndexed, workQueue, indexed}

type feature string

const (
	noFeature            feature = "no feature"
	manualSelector       feature = "manualSelector"
	successPolicy        feature = "successPolicy"
	backoffLimitPerIndex feature = "backoffLimitPerIndex"
	maxFailedIndexes     feature = "maxFailedIndexes"
	podFailurePolicy     feature = "podFailurePolicy"
	podReplacementPolicy feature = "podReplacementPolicy"
	managedBy            feature = "managedBy"
)

var features = []feature{
	noFeature, manualSelector, successPolicy, backoffLimitPerIndex, maxFailedIndexes, podFailurePolicy, podReplacementPolicy, managedBy,
}

type state string

const (
	suspended          state = "suspended"
	idle               state = "no Pods yet"
	running            state = "running"
	partlySucceeded    state = "partly succeeded"
	oneFailed          state = "one failed"
	suspendedSucceeded state = "partly succeeded and suspended"
	suspendedFailed    state = "one failed and suspended"
	scaledDown         state = "a Pod terminates after scaling down"
	podDeleted         state = "a deleted Pod terminates"
	criteriaMet        state = "SuccessCriteriaMet while Pods terminate"
	failureTarget      state = "FailureTarget while Pods terminate"
	deleted            state = "deleted while Pods terminate"
	complete           state = "Complete"
	failed             state = "Failed"
)

var states = []state{
	suspended, idle, running, partlySucceeded, oneFailed, suspendedSucceeded, suspendedFailed, scaledDown, podDeleted,
	criteriaMet, failureTarget, deleted, complete, failed,
}

func (s state) isSuspended() bool {
	return s == suspended || s == suspendedSucceeded || s == suspendedFailed
}

// outcomeCondition returns the condition that decides the outcome of a Job in this state, or "".
func (s state) outcomeCondition() string {
	switch s {
	case criteriaMet:
		return "SuccessCriteriaMet"
	case failureTarget:
		return "FailureTarget"
	case complete, failed:
		return string(s)
	}
	return ""
}

// combination is one test case.
type combination struct {
	mode    mode
	feature feature
	state   state
	change  *change
}

func (c combination) String() string {
	return string(c.mode) + "/" + string(c.feature) + "/" + string(c.state) + "/" + c.change.name
}

// hasPerIndexBackoff reports whether failed indexes are not retried.
func (c combination) hasPerIndexBackoff() bool {
	return c.feature == backoffLimitPerIndex || c.feature == maxFailedIndexes
}

// replacesFailedOnly reports whether a terminating Pod is replaced only after it has ended.
func (c combination) replacesFailedOnly() bool {
	return c.feature == podFailurePolicy || c.feature == podReplacementPolicy
}

// exclusion is a rule that excludes meaningless or redundant combinations.
type exclusion struct {
	rule     string
	excludes func(combination) bool
}

var exclusions = []exclusion{
	{"successPolicy, backoffLimitPerIndex and maxFailedIndexes require an Indexed Job", func(c combination) bool {
		return c.mode != indexed && (c.feature == successPolicy || c.hasPerIndexBackoff())
	}},
	{"a work queue with a succeeded Pod and no running Pods is already Complete", func(c combination) bool {
		return c.mode == workQueue && (c.state == suspendedSucceeded || c.state == criteriaMet)
	}},
	{"with managedBy there are no Pods", func(c combination) bool {
		return c.feature == managedBy && (c.state == scaledDown || c.state == podDeleted || c.state == deleted)
	}},
	{"the change does not change the numbers of the Job", func(c combination) bool {
		before := modelOf(c)
		after := c.change.apply(before)
		return c.change.kind == changesNumbers && ptr.Equal(before.completions, after.completions) && before.parallelism == after.parallelism
	}},
	{"manualSelector is tested with selector changes only", func(c combination) bool {
		return c.feature == manualSelector && c.change.kind != changesManualSelector && c.change != noChange
	}},
	{"changes of a manual selector require manualSelector, and features are not combined", func(c combination) bool {
		return c.change.kind == changesManualSelector && c.feature != manualSelector
	}},
}

// combinations returns all combinations that no rule excludes, and the number that each rule excludes.
func combinations() (included []combination, excluded map[string]int) {
	excluded = map[string]int{}
	for _, m := range modes {
		for _, f := range features {
			for _, s := range states {
				for _, ch := range changes {
					c := combination{m, f, s, ch}
					if i := slices.IndexFunc(exclusions, func(r exclusion) bool { return r.excludes(c) }); i < 0 {
						included = append(included, c)
					} else {
						excluded[exclusions[i].rule]++
					}
				}
			}
		}
	}
	return included, excluded
}
