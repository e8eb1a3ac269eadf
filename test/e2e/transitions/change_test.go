package transitions

import (
	"strings"

	batchv1 "k8s.io/api/batch/v1"
)

// kind says what a change is about.
type kind int

const (
	ofNumbers kind = iota
	ofGeneratedSelector
	ofManualSelector
	ofNothing
)

// change is an update of a Job.
type change struct {
	name string
	kind kind
	// patch is a merge patch of the spec. NAME and UID stand for those of the Job, OTHER for
	// the name and OTHER-UID for the UID of another one.
	patch string
	// numbers changes the numbers as the patch does.
	numbers func(*facts)
	// refused is in the error of a selector that is never right.
	refused string
}

func (ch *change) apply(f facts) facts {
	if ch.numbers != nil {
		ch.numbers(&f)
	}
	return f
}

func (ch *change) patchOf(job, other *batchv1.Job) string {
	return `{"spec": ` + strings.NewReplacer("OTHER-UID", string(other.UID), "OTHER", other.Name, "NAME", job.Name, "UID", string(job.UID)).Replace(ch.patch) + `}`
}

func set(completions, parallelism *int32) func(*facts) {
	return func(f *facts) {
		if completions != nil {
			f.completions = completions
		}
		if parallelism != nil {
			f.parallelism = *parallelism
		}
	}
}

func n(i int32) *int32 { return &i }

var unchanged = &change{name: "nothing", kind: ofNothing, patch: `{}`}

// The Job has 4 completions (a work queue none) and a parallelism of 2, except where the state
// says otherwise. 2 have succeeded, or index 1 of an Indexed Job.
var changes = append([]*change{
	unchanged,
	{name: "completions 6", patch: `{"completions": 6}`, numbers: set(n(6), nil)},
	{name: "completions 3", patch: `{"completions": 3}`, numbers: set(n(3), nil)},
	{name: "completions 2", patch: `{"completions": 2}`, numbers: set(n(2), nil)},
	{name: "completions 1", patch: `{"completions": 1}`, numbers: set(n(1), nil)},
	{name: "completions 0", patch: `{"completions": 0}`, numbers: set(n(0), nil)},
	{name: "completions null", patch: `{"completions": null}`, numbers: func(f *facts) { f.completions = nil }},
	{name: "completions -1", patch: `{"completions": -1}`, numbers: set(n(-1), nil)},
	{name: "parallelism 4", patch: `{"parallelism": 4}`, numbers: set(nil, n(4))},
	{name: "parallelism 1", patch: `{"parallelism": 1}`, numbers: set(nil, n(1))},
	{name: "parallelism 0", patch: `{"parallelism": 0}`, numbers: set(nil, n(0))},
	{name: "both 6", patch: `{"completions": 6, "parallelism": 6}`, numbers: set(n(6), n(6))},
	{name: "both 2", patch: `{"completions": 2, "parallelism": 2}`, numbers: set(n(2), n(2))},
	{name: "both 1", patch: `{"completions": 1, "parallelism": 1}`, numbers: set(n(1), n(1))},
	{name: "both 0", patch: `{"completions": 0, "parallelism": 0}`, numbers: set(n(0), n(0))},
	// Upstream's defaults for a Job that has neither.
	{name: "both null", patch: `{"completions": null, "parallelism": null}`, numbers: set(n(1), n(1))},
	{name: "completions 6, parallelism 1", patch: `{"completions": 6, "parallelism": 1}`, numbers: set(n(6), n(1))},
	{name: "completions 1, parallelism 4", patch: `{"completions": 1, "parallelism": 4}`, numbers: set(n(1), n(4))},
}, selectorChanges...)

const (
	mismatch     = "`selector` does not match template `labels`"
	notGenerated = "`selector` not auto-generated"
	absent       = "the Job controller would let go of Pods"
	required     = "spec.selector: Required value"
)

// A generated selector has the label with the UID of the Job. A manual one has the labels cell
// and run; the Pods also have part, and the Pods of all other Jobs have run and part.
var selectorChanges = []*change{
	{name: "narrowed", kind: ofGeneratedSelector, patch: `{"selector": {"matchLabels": {"job-name": "NAME"}}}`},
	{name: "narrowed by expression", kind: ofGeneratedSelector, patch: `{"selector": {"matchExpressions": [{"key": "batch.kubernetes.io/job-name", "operator": "In", "values": ["NAME", "OTHER"]}]}}`},
	{name: "to the older label of the UID", kind: ofGeneratedSelector, patch: `{"selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": null, "controller-uid": "UID"}}}`},
	{name: "widened", kind: ofGeneratedSelector, patch: `{"selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": null, "job-name": "NAME"}}}`, refused: "must keep batch.kubernetes.io/controller-uid: "},
	{name: "to another Job's Pods", kind: ofGeneratedSelector, patch: `{"selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": "OTHER-UID"}}}`, refused: notGenerated},
	{name: "to a label that other Pods have", kind: ofGeneratedSelector, patch: `{"selector": {"matchLabels": {"run": "a"}}}`, refused: notGenerated},
	{name: "wrong", kind: ofGeneratedSelector, patch: `{"selector": {"matchLabels": {"part": "other"}}}`, refused: notGenerated},
	{name: "without a label", kind: ofGeneratedSelector, patch: `{"selector": {"matchExpressions": [{"key": "topology.kubernetes.io/zone", "operator": "DoesNotExist"}]}}`, refused: absent},
	{name: "without an index", kind: ofGeneratedSelector, patch: `{"selector": {"matchExpressions": [{"key": "batch.kubernetes.io/job-completion-index", "operator": "NotIn", "values": ["0"]}]}}`, refused: absent},
	{name: "removed", kind: ofGeneratedSelector, patch: `{"selector": null}`, refused: required},

	{name: "narrowed", kind: ofManualSelector, patch: `{"selector": {"matchLabels": {"part": "b"}}}`},
	{name: "narrowed by expression", kind: ofManualSelector, patch: `{"selector": {"matchExpressions": [{"key": "part", "operator": "NotIn", "values": ["a", "c"]}]}}`},
	{name: "replaced", kind: ofManualSelector, patch: `{"selector": {"matchLabels": {"run": null, "cell": null, "batch.kubernetes.io/job-name": "NAME"}}}`},
	{name: "widened", kind: ofManualSelector, patch: `{"selector": {"matchLabels": {"run": null}}}`},
	{name: "to a label that other Pods have", kind: ofManualSelector, patch: `{"selector": {"matchLabels": {"cell": null}}}`},
	{name: "to another Job's Pods", kind: ofManualSelector, patch: `{"selector": {"matchLabels": {"cell": "OTHER"}}}`, refused: mismatch},
	{name: "wrong", kind: ofManualSelector, patch: `{"selector": {"matchLabels": {"part": "other"}}}`, refused: mismatch},
	{name: "invalid", kind: ofManualSelector, patch: `{"selector": {"matchLabels": {"part": "no label"}}}`, refused: "a valid label must"},
	{name: "without a label", kind: ofManualSelector, patch: `{"selector": {"matchExpressions": [{"key": "topology.kubernetes.io/zone", "operator": "DoesNotExist"}]}}`, refused: absent},
	{name: "without an index", kind: ofManualSelector, patch: `{"selector": {"matchExpressions": [{"key": "batch.kubernetes.io/job-completion-index", "operator": "NotIn", "values": ["0"]}]}}`, refused: absent},
	{name: "empty", kind: ofManualSelector, patch: `{"selector": {"matchLabels": null}}`, refused: "an empty selector would claim every Pod"},
	{name: "removed", kind: ofManualSelector, patch: `{"selector": null}`, refused: required},
}
