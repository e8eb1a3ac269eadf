// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package transitions

import (
	"strings"

	batchv1 "k8s.io/api/batch/v1"
)

type changeKind int

const (
	changesNumbers changeKind = iota
	changesGeneratedSelector
	changesManualSelector
	changesNothing
)

// change is an update of a Job.
type change struct {
	name string
	kind changeKind
	// patch is a merge patch of the spec. patchBody replaces NAME and UID with the Job's name and UID,
	// and OTHER and OTHER-UID with the neighbor's.
	patch string
	// updateModel applies the patch to the model; nil if it changes no numbers.
	updateModel func(*model)
	// rejection is part of the error for a selector that the server rejects in every state.
	rejection string
}

func (ch *change) apply(m model) model {
	if ch.updateModel != nil {
		ch.updateModel(&m)
	}
	return m
}

func (ch *change) patchBody(job, other *batchv1.Job) string {
	return `{"spec": ` + strings.NewReplacer("OTHER-UID", string(other.UID), "OTHER", other.Name, "NAME", job.Name, "UID", string(job.UID)).Replace(ch.patch) + `}`
}

func setNumbers(completions, parallelism *int32) func(*model) {
	return func(m *model) {
		if completions != nil {
			m.completions = completions
		}
		if parallelism != nil {
			m.parallelism = *parallelism
		}
	}
}

func i32(i int32) *int32 { return &i }

var noChange = &change{name: "nothing", kind: changesNothing, patch: `{}`}

// The Job has 4 completions (a work queue has none) and a parallelism of 2, unless its state requires
// other numbers. In states with succeeded Pods, 2 Pods have succeeded, or index 1 of an Indexed Job.
var changes = append([]*change{
	noChange,
	{name: "completions 6", patch: `{"completions": 6}`, updateModel: setNumbers(i32(6), nil)},
	{name: "completions 3", patch: `{"completions": 3}`, updateModel: setNumbers(i32(3), nil)},
	{name: "completions 2", patch: `{"completions": 2}`, updateModel: setNumbers(i32(2), nil)},
	{name: "completions 1", patch: `{"completions": 1}`, updateModel: setNumbers(i32(1), nil)},
	{name: "completions 0", patch: `{"completions": 0}`, updateModel: setNumbers(i32(0), nil)},
	{name: "completions null", patch: `{"completions": null}`, updateModel: func(m *model) { m.completions = nil }},
	{name: "completions -1", patch: `{"completions": -1}`, updateModel: setNumbers(i32(-1), nil)},
	{name: "parallelism 4", patch: `{"parallelism": 4}`, updateModel: setNumbers(nil, i32(4))},
	{name: "parallelism 1", patch: `{"parallelism": 1}`, updateModel: setNumbers(nil, i32(1))},
	{name: "parallelism 0", patch: `{"parallelism": 0}`, updateModel: setNumbers(nil, i32(0))},
	{name: "both 6", patch: `{"completions": 6, "parallelism": 6}`, updateModel: setNumbers(i32(6), i32(6))},
	{name: "both 2", patch: `{"completions": 2, "parallelism": 2}`, updateModel: setNumbers(i32(2), i32(2))},
	{name: "both 1", patch: `{"completions": 1, "parallelism": 1}`, updateModel: setNumbers(i32(1), i32(1))},
	{name: "both 0", patch: `{"completions": 0, "parallelism": 0}`, updateModel: setNumbers(i32(0), i32(0))},
	// Upstream defaults both to 1.
	{name: "both null", patch: `{"completions": null, "parallelism": null}`, updateModel: setNumbers(i32(1), i32(1))},
	{name: "completions 6, parallelism 1", patch: `{"completions": 6, "parallelism": 1}`, updateModel: setNumbers(i32(6), i32(1))},
	{name: "completions 1, parallelism 4", patch: `{"completions": 1, "parallelism": 4}`, updateModel: setNumbers(i32(1), i32(4))},
}, selectorChanges...)

const (
	selectorMismatch     = "`selector` does not match template `labels`"
	selectorNotGenerated = "`selector` not auto-generated"
	wouldReleasePods     = "the Job controller would release Pods"
	selectorRequired     = "spec.selector: Required value"
)

// A generated selector has the label with the UID of the Job. A manual one has the labels test-job and
// run. Pods have the labels test-job, run and part. All Jobs have the same values of run and part.
var selectorChanges = []*change{
	{name: "narrowed", kind: changesGeneratedSelector, patch: `{"selector": {"matchLabels": {"job-name": "NAME"}}}`},
	{name: "narrowed by expression", kind: changesGeneratedSelector, patch: `{"selector": {"matchExpressions": [{"key": "batch.kubernetes.io/job-name", "operator": "In", "values": ["NAME", "OTHER"]}]}}`},
	{name: "legacy UID label", kind: changesGeneratedSelector, patch: `{"selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": null, "controller-uid": "UID"}}}`},
	{name: "widened", kind: changesGeneratedSelector, patch: `{"selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": null, "job-name": "NAME"}}}`, rejection: "must keep batch.kubernetes.io/controller-uid: "},
	{name: "other Job's Pods", kind: changesGeneratedSelector, patch: `{"selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "OTHER-UID"}}}`, rejection: selectorNotGenerated},
	{name: "shared label", kind: changesGeneratedSelector, patch: `{"selector": {"matchLabels": {"run": "a"}}}`, rejection: selectorNotGenerated},
	{name: "no match", kind: changesGeneratedSelector, patch: `{"selector": {"matchLabels": {"part": "other"}}}`, rejection: selectorNotGenerated},
	{name: "label absent", kind: changesGeneratedSelector, patch: `{"selector": {"matchExpressions": [{"key": "topology.kubernetes.io/zone", "operator": "DoesNotExist"}]}}`, rejection: wouldReleasePods},
	{name: "index excluded", kind: changesGeneratedSelector, patch: `{"selector": {"matchExpressions": [{"key": "batch.kubernetes.io/job-completion-index", "operator": "NotIn", "values": ["0"]}]}}`, rejection: wouldReleasePods},
	{name: "removed", kind: changesGeneratedSelector, patch: `{"selector": null}`, rejection: selectorRequired},

	{name: "narrowed", kind: changesManualSelector, patch: `{"selector": {"matchLabels": {"part": "b"}}}`},
	{name: "narrowed by expression", kind: changesManualSelector, patch: `{"selector": {"matchExpressions": [{"key": "part", "operator": "NotIn", "values": ["a", "c"]}]}}`},
	{name: "replaced", kind: changesManualSelector, patch: `{"selector": {"matchLabels": {"run": null, "test-job": null, "batch.kubernetes.io/job-name": "NAME"}}}`},
	{name: "widened", kind: changesManualSelector, patch: `{"selector": {"matchLabels": {"run": null}}}`},
	{name: "shared label", kind: changesManualSelector, patch: `{"selector": {"matchLabels": {"test-job": null}}}`},
	{name: "other Job's Pods", kind: changesManualSelector, patch: `{"selector": {"matchLabels": {"test-job": "OTHER"}}}`, rejection: selectorMismatch},
	{name: "no match", kind: changesManualSelector, patch: `{"selector": {"matchLabels": {"part": "other"}}}`, rejection: selectorMismatch},
	{name: "invalid", kind: changesManualSelector, patch: `{"selector": {"matchLabels": {"part": "no label"}}}`, rejection: "a valid label must"},
	{name: "label absent", kind: changesManualSelector, patch: `{"selector": {"matchExpressions": [{"key": "topology.kubernetes.io/zone", "operator": "DoesNotExist"}]}}`, rejection: wouldReleasePods},
	{name: "index excluded", kind: changesManualSelector, patch: `{"selector": {"matchExpressions": [{"key": "batch.kubernetes.io/job-completion-index", "operator": "NotIn", "values": ["0"]}]}}`, rejection: wouldReleasePods},
	{name: "empty", kind: changesManualSelector, patch: `{"selector": {"matchLabels": null}}`, rejection: "must require the value of one of the template's labels"},
	{name: "removed", kind: changesManualSelector, patch: `{"selector": null}`, rejection: selectorRequired},
}
