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

// decided returns the condition by which the outcome of a Job in the state is decided.
func (s state) decided() string {
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

// cell is one combination.
type cell struct {
	mode    mode
	feature feature
	state   state
	change  *change
}

func (c cell) String() string {
	return string(c.mode) + "/" + string(c.feature) + "/" + string(c.state) + "/" + c.change.name
}

// perIndex reports whether an index that fails stays failed.
func (c cell) perIndex() bool {
	return c.feature == backoffLimitPerIndex || c.feature == maxFailedIndexes
}

// replacesFailedOnly reports whether a Pod that terminates is replaced only when it is gone.
func (c cell) replacesFailedOnly() bool {
	return c.feature == podFailurePolicy || c.feature == podReplacementPolicy
}

// exclusion is a rule by which combinations are no cells.
type exclusion struct {
	rule string
	is   func(cell) bool
}

var leftOut = []exclusion{
	{"successPolicy, backoffLimitPerIndex and maxFailedIndexes are for Indexed Jobs", func(c cell) bool {
		return c.mode != indexed && (c.feature == successPolicy || c.perIndex())
	}},
	{"a work queue that has a success and runs no Pods is complete", func(c cell) bool {
		return c.mode == workQueue && (c.state == suspendedSucceeded || c.state == criteriaMet)
	}},
	{"a Job of an external controller has no Pods here", func(c cell) bool {
		return c.feature == managedBy && (c.state == scaledDown || c.state == podDeleted || c.state == deleted)
	}},
	{"the numbers are those of the Job already", func(c cell) bool {
		before := factsIn(c)
		after := c.change.apply(before)
		return c.change.kind == ofNumbers && ptr.Equal(before.completions, after.completions) && before.parallelism == after.parallelism
	}},
	{"a Job with manualSelector differs in its selector only", func(c cell) bool {
		return c.feature == manualSelector && c.change.kind != ofManualSelector && c.change != unchanged
	}},
	{"a manual selector is that of a Job with manualSelector, and one feature is tried at a time", func(c cell) bool {
		return c.change.kind == ofManualSelector && c.feature != manualSelector
	}},
}

// product returns all cells, and how many combinations each rule leaves out.
func product() (cells []cell, without map[string]int) {
	without = map[string]int{}
	for _, m := range modes {
		for _, f := range features {
			for _, s := range states {
				for _, ch := range changes {
					c := cell{m, f, s, ch}
					if i := slices.IndexFunc(leftOut, func(r exclusion) bool { return r.is(c) }); i < 0 {
						cells = append(cells, c)
					} else {
						without[leftOut[i].rule]++
					}
				}
			}
		}
	}
	return cells, without
}
