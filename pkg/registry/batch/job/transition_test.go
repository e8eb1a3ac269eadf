package job

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/kubernetes/pkg/apis/batch"
	"k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/utils/ptr"
)

type jobChange = func(*batch.Job)

func completions(n int32) jobChange {
	return func(j *batch.Job) { j.Spec.Completions = ptr.To(n) }
}

func parallelism(n int32) jobChange {
	return func(j *batch.Job) { j.Spec.Parallelism = ptr.To(n) }
}

func both(changes ...jobChange) jobChange {
	return func(j *batch.Job) {
		for _, change := range changes {
			change(j)
		}
	}
}

func indexed(j *batch.Job) { j.Spec.CompletionMode = ptr.To(batch.IndexedCompletion) }

// succeeded makes a Job one whose indexes have succeeded.
func succeeded(indexes string) jobChange {
	return func(j *batch.Job) { j.Status.CompletedIndexes = indexes }
}

func condition(kind batch.JobConditionType, status core.ConditionStatus) jobChange {
	return func(j *batch.Job) {
		j.Status.Conditions = append(j.Status.Conditions, batch.JobCondition{Type: kind, Status: status})
	}
}

// transition is a change of what upstream holds immutable.
type transition struct {
	create jobChange // before the Job is created
	run    jobChange // since then: its status
	send   jobChange
	want   []string // causes, none if the update is allowed
	detail string   // part of the message
}

func (tc transition) test(t *testing.T) {
	old := storedJob(t, tc.create)
	if tc.run != nil {
		tc.run(old)
	}
	got := update(t, gated, "alice", old, tc.send)
	if diff := cmp.Diff(tc.want, causes(t, got.err)); diff != "" {
		t.Fatalf("causes (-want +got):\n%s\n%v", diff, got.err)
	}
	if got.err != nil {
		if !strings.Contains(got.err.Error(), tc.detail) || strings.Contains(got.err.Error(), "0x") {
			t.Errorf("the message is\n%v\nwant in it\n%s", got.err, tc.detail)
		}
		return
	}
	want := old.DeepCopy()
	tc.send(want)
	want.Generation++
	if diff := cmp.Diff(want, got.stored); diff != "" {
		t.Errorf("the Job to store is not as expected (-want +got):\n%s", diff)
	}
}

func TestCompletionsOfANonIndexedJobMayChangeToAnything(t *testing.T) {
	for name, tc := range map[string]transition{
		"up":                        {send: completions(9)},
		"down":                      {send: completions(1)},
		"to zero":                   {send: completions(0)},
		"to null":                   {send: func(j *batch.Job) { j.Spec.Completions = nil }},
		"from null":                 {create: func(j *batch.Job) { j.Spec.Completions = nil }, send: completions(3)},
		"below what has succeeded":  {run: func(j *batch.Job) { j.Status.Succeeded = 3 }, send: completions(2)},
		"with parallelism":          {send: both(completions(9), parallelism(9))},
		"while suspended":           {create: func(j *batch.Job) { j.Spec.Suspend = ptr.To(true) }, send: completions(5)},
		"while a condition is over": {run: condition(batch.JobFailed, core.ConditionFalse), send: completions(5)},
		"while it was suspended":    {run: condition(batch.JobSuspended, core.ConditionTrue), send: completions(5)},
		"but not below zero": {
			send:   completions(-1),
			want:   []string{"FieldValueInvalid spec.completions"},
			detail: "must be greater than or equal to 0",
		},
	} {
		t.Run(name, tc.test)
	}
}

func TestCompletionsOfAnIndexedJobKeepTheIndexesThatSucceeded(t *testing.T) {
	refused := []string{"FieldValueForbidden spec.completions"}
	for name, tc := range map[string]transition{
		"up, alone":                            {create: indexed, run: succeeded("0,2-3"), send: completions(5)},
		"down, alone, above the last index":    {create: indexed, run: succeeded("0-1"), send: completions(3)},
		"down, alone, to just after the last":  {create: indexed, run: succeeded("0-2"), send: completions(3)},
		"down, alone, before any has":          {create: indexed, send: completions(1)},
		"down, in tandem, below the last":      {create: indexed, run: succeeded("0-3"), send: both(completions(1), parallelism(1))},
		"down to the parallelism, below it":    {create: indexed, run: succeeded("0-3"), send: completions(2)},
		"to zero, in tandem, below the last":   {create: indexed, run: succeeded("0"), send: both(completions(0), parallelism(0))},
		"unchanged, and parallelism":           {create: indexed, run: succeeded("0-3"), send: parallelism(3)},
		"up past it after a tandem change":     {create: both(indexed, completions(2)), run: succeeded("0-3"), send: completions(4)},
		"of a NonIndexed Job with a stale one": {run: succeeded("0-3"), send: completions(1)},
		"down, alone, below the last index": {
			create: indexed, run: succeeded("0-3"), send: completions(3), want: refused,
			detail: "may not be lower than 4, since index 3 has succeeded; to drop succeeded indexes, set parallelism to the same number in the same update",
		},
		"down, below the last of a list": {
			create: indexed, run: succeeded("0,3"), send: completions(1), want: refused,
			detail: "may not be lower than 4",
		},
		"down, with another parallelism, below the last": {
			create: indexed, run: succeeded("0-3"), send: both(completions(3), parallelism(1)), want: refused,
			detail: "may not be lower than 4",
		},
		// The Job controller has not caught up with a tandem change: leaving the
		// tandem now would make the count of what succeeded fall.
		"unchanged below the last, and parallelism leaves the tandem": {
			create: both(indexed, completions(2)), run: succeeded("0-3"), send: parallelism(1), want: refused,
			detail: "may not be lower than 4",
		},
		"to an index that makes the name too long": {
			create: both(indexed, completions(10), func(j *batch.Job) { j.Name = strings.Repeat("a", 61) }),
			send:   completions(101),
			want:   []string{"FieldValueInvalid metadata.name"},
			detail: "DNS label",
		},
		"to the last index that the name can take": {
			create: both(indexed, completions(9), func(j *batch.Job) { j.Name = strings.Repeat("a", 61) }),
			send:   completions(10),
		},
		"to null": {
			create: indexed, send: func(j *batch.Job) { j.Spec.Completions = nil },
			want:   []string{"FieldValueRequired spec.completions"},
			detail: "when completion mode is Indexed",
		},
		// Upstream's validation of the policy would panic.
		"to null, with a successPolicy": {
			create: both(indexed, func(j *batch.Job) {
				j.Spec.SuccessPolicy = &batch.SuccessPolicy{Rules: []batch.SuccessPolicyRule{{SucceededIndexes: ptr.To("3")}}}
			}),
			send: both(matchLabels(map[string]string{batch.ControllerUidLabel: uid, batch.JobNameLabel: "render"}),
				func(j *batch.Job) { j.Spec.Completions = nil }),
			want:   []string{"FieldValueRequired spec.completions"},
			detail: "when completion mode is Indexed",
		},
		"below an index that the successPolicy waits for": {
			create: both(indexed, func(j *batch.Job) {
				j.Spec.SuccessPolicy = &batch.SuccessPolicy{Rules: []batch.SuccessPolicyRule{{SucceededIndexes: ptr.To("3")}}}
			}),
			send:   completions(3),
			want:   []string{"FieldValueInvalid spec.successPolicy.rules[0].succeededIndexes"},
			detail: "too large index",
		},
		"below maxFailedIndexes": {
			create: both(indexed, func(j *batch.Job) {
				j.Spec.BackoffLimitPerIndex, j.Spec.MaxFailedIndexes = ptr.To[int32](1), ptr.To[int32](4)
			}),
			send:   completions(3),
			want:   []string{"FieldValueInvalid spec.maxFailedIndexes"},
			detail: "must be less than or equal to completions",
		},
	} {
		t.Run(name, tc.test)
	}
}

func TestNothingButParallelismAndLabelsChangesOnceTheOutcomeIsDecided(t *testing.T) {
	selector := matchLabels(map[string]string{"tier": "batch"})
	for _, kind := range []batch.JobConditionType{batch.JobComplete, batch.JobFailed, batch.JobSuccessCriteriaMet, batch.JobFailureTarget} {
		run := condition(kind, core.ConditionTrue)
		for name, tc := range map[string]transition{
			"completions": {
				run: run, send: completions(5),
				want:   []string{"FieldValueForbidden spec.completions"},
				detail: "may not be updated once the Job has the condition " + string(kind),
			},
			"selector": {
				create: manualSelector, run: run, send: selector,
				want:   []string{"FieldValueForbidden spec.selector"},
				detail: "may not be updated once the Job has the condition " + string(kind),
			},
			"both": {
				create: manualSelector, run: run, send: both(completions(5), selector),
				want: []string{"FieldValueForbidden spec.completions", "FieldValueForbidden spec.selector"},
			},
			"parallelism": {run: run, send: parallelism(5)},
		} {
			t.Run(string(kind)+"/"+name, tc.test)
		}
	}
}

func manualSelector(j *batch.Job) {
	j.Spec.ManualSelector = ptr.To(true)
	j.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "render"}}
	j.Spec.Template.Labels["tier"] = "batch"
}

// The Job controller would declare such a Job complete, and the validation of the status
// would refuse that for want of a start time, over and over.
func TestSuspendedJobIsNotCompletedByItsCompletions(t *testing.T) {
	suspended := func(j *batch.Job) { j.Spec.Suspend = ptr.To(true) }
	twoSucceeded := func(j *batch.Job) { j.Status.Succeeded = 2 }
	uncounted := func(j *batch.Job) {
		j.Status.UncountedTerminatedPods = &batch.UncountedTerminatedPods{Succeeded: []types.UID{"1", "2"}}
	}
	started := func(j *batch.Job) { j.Status.StartTime = ptr.To(metav1.Now()) }
	null := func(j *batch.Job) { j.Spec.Completions = nil }
	failed := func(indexes string) jobChange {
		return func(j *batch.Job) { j.Status.FailedIndexes = &indexes }
	}
	perIndex := both(suspended, indexed, func(j *batch.Job) { j.Spec.BackoffLimitPerIndex = ptr.To[int32](0) })
	refused := []string{"FieldValueForbidden spec.completions"}
	const detail = "may not be satisfied by the 2 that have succeeded while the Job is suspended: resume the Job first, or set 0"
	for name, tc := range map[string]transition{
		"down to what has succeeded":        {create: suspended, run: twoSucceeded, send: completions(2), want: refused, detail: detail},
		"below what has succeeded":          {create: suspended, run: twoSucceeded, send: completions(1), want: refused, detail: detail},
		"to what is not counted yet":        {create: suspended, run: uncounted, send: completions(2), want: refused, detail: detail},
		"to null, with a success":           {create: suspended, run: twoSucceeded, send: null, want: refused, detail: detail},
		"down to the succeeded indexes":     {create: both(suspended, indexed), run: succeeded("0-1"), send: both(completions(2), parallelism(2)), want: refused, detail: detail},
		"down in tandem, among the indexes": {create: both(suspended, indexed), run: succeeded("0,3"), send: both(completions(2), parallelism(2))},
		"down to the failed indexes": {
			create: perIndex, run: failed("0,3"), send: completions(1), want: refused,
			detail: "may not be satisfied by the 0 that have succeeded and the 1 that have failed for good while the Job is suspended",
		},
		"down to the indexes that succeeded and failed": {
			create: perIndex, run: both(succeeded("1"), failed("0")), send: both(completions(2), parallelism(2)), want: refused,
			detail: "may not be satisfied by the 1 that have succeeded and the 1 that have failed for good while the Job is suspended",
		},
		"down among the failed indexes":      {create: perIndex, run: failed("0,3"), send: completions(2)},
		"to zero, with failed indexes":       {create: perIndex, run: failed("0,3"), send: completions(0)},
		"down, above what has succeeded":     {create: suspended, run: twoSucceeded, send: completions(3)},
		"to null, without a success":         {create: suspended, send: null},
		"to zero":                            {create: suspended, run: twoSucceeded, send: completions(0)},
		"with the start time of an old Job":  {create: suspended, run: both(twoSucceeded, started), send: completions(2)},
		"of a Job that is not suspended":     {run: twoSucceeded, send: completions(2)},
		"unchanged, and another parallelism": {create: both(suspended, completions(2)), run: twoSucceeded, send: parallelism(5)},
	} {
		t.Run(name, tc.test)
	}
}
