// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

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

// succeeded sets the indexes that have succeeded.
func succeeded(indexes string) jobChange {
	return func(j *batch.Job) { j.Status.CompletedIndexes = indexes }
}

func condition(kind batch.JobConditionType, status core.ConditionStatus) jobChange {
	return func(j *batch.Job) {
		j.Status.Conditions = append(j.Status.Conditions, batch.JobCondition{Type: kind, Status: status})
	}
}

// transition is a test case for an update that validateTransition validates.
type transition struct {
	create jobChange // before the Job is created
	run    jobChange // after the Job is created, for example its status
	send   jobChange
	want   []string // causes, empty if the update is allowed
	detail string   // part of the error
}

func (tc transition) test(t *testing.T) {
	old := storedJob(t, tc.create)
	if tc.run != nil {
		tc.run(old)
	}
	got := update(t, NewStrategy(bootstrapGate), "alice", old, tc.send)
	if diff := cmp.Diff(tc.want, causes(t, got.err)); diff != "" {
		t.Fatalf("causes (-want +got):\n%s\n%v", diff, got.err)
	}
	if got.err != nil {
		if !strings.Contains(got.err.Error(), tc.detail) || strings.Contains(got.err.Error(), "0x") {
			t.Errorf("error %v, want %s", got.err, tc.detail)
		}
		return
	}
	want := old.DeepCopy()
	tc.send(want)
	want.Generation++
	if diff := cmp.Diff(want, got.stored); diff != "" {
		t.Errorf("the Job to store (-want +got):\n%s", diff)
	}
}

func TestValidateTransition_NonIndexedCompletions(t *testing.T) {
	for name, tc := range map[string]transition{
		"increase":             {send: completions(9)},
		"decrease":             {send: completions(1)},
		"zero":                 {send: completions(0)},
		"null":                 {send: func(j *batch.Job) { j.Spec.Completions = nil }},
		"from null":            {create: func(j *batch.Job) { j.Spec.Completions = nil }, send: completions(3)},
		"below succeeded Pods": {run: func(j *batch.Job) { j.Status.Succeeded = 3 }, send: completions(2)},
		"with parallelism":     {send: both(completions(9), parallelism(9))},
		"suspended Job":        {create: func(j *batch.Job) { j.Spec.Suspend = ptr.To(true) }, send: completions(5)},
		"false condition":      {run: condition(batch.JobFailed, core.ConditionFalse), send: completions(5)},
		"condition Suspended":  {run: condition(batch.JobSuspended, core.ConditionTrue), send: completions(5)},
		"negative": {
			send:   completions(-1),
			want:   []string{"FieldValueInvalid spec.completions"},
			detail: "must be greater than or equal to 0",
		},
	} {
		t.Run(name, tc.test)
	}
}

func TestValidateTransition_IndexedCompletions(t *testing.T) {
	rejected := []string{"FieldValueForbidden spec.completions"}
	for name, tc := range map[string]transition{
		"increase": {create: indexed, run: succeeded("0,2-3"), send: completions(5)},
		"decrease above the last succeeded index":                  {create: indexed, run: succeeded("0-1"), send: completions(3)},
		"decrease to just after the last succeeded index":          {create: indexed, run: succeeded("0-2"), send: completions(3)},
		"decrease without a succeeded index":                       {create: indexed, send: completions(1)},
		"decrease with parallelism below the last succeeded index": {create: indexed, run: succeeded("0-3"), send: both(completions(1), parallelism(1))},
		"decrease to parallelism below the last succeeded index":   {create: indexed, run: succeeded("0-3"), send: completions(2)},
		"zero with parallelism zero":                               {create: indexed, run: succeeded("0"), send: both(completions(0), parallelism(0))},
		"parallelism only":                                         {create: indexed, run: succeeded("0-3"), send: parallelism(3)},
		"increase above the last succeeded index":                  {create: both(indexed, completions(2)), run: succeeded("0-3"), send: completions(4)},
		"NonIndexed Job with succeeded indexes":                    {run: succeeded("0-3"), send: completions(1)},
		"decrease below the last succeeded index": {
			create: indexed, run: succeeded("0-3"), send: completions(3), want: rejected,
			detail: "may not be lower than 4, since index 3 has succeeded; to drop succeeded indexes, set parallelism to the same number in the same update",
		},
		"decrease below the last of several intervals": {
			create: indexed, run: succeeded("0,3"), send: completions(1), want: rejected,
			detail: "may not be lower than 4",
		},
		"decrease with different parallelism": {
			create: indexed, run: succeeded("0-3"), send: both(completions(3), parallelism(1)), want: rejected,
			detail: "may not be lower than 4",
		},
		// The Job controller has not observed an earlier change of both fields yet. If parallelism
		// no longer equals completions, the count of succeeded indexes must not decrease.
		"parallelism differs from completions that exclude a succeeded index": {
			create: both(indexed, completions(2)), run: succeeded("0-3"), send: parallelism(1), want: rejected,
			detail: "may not be lower than 4",
		},
		"index that makes the Pod name too long": {
			create: both(indexed, completions(10), func(j *batch.Job) { j.Name = strings.Repeat("a", 61) }),
			send:   completions(101),
			want:   []string{"FieldValueInvalid metadata.name"},
			detail: "DNS label",
		},
		"last index that the Pod name can contain": {
			create: both(indexed, completions(9), func(j *batch.Job) { j.Name = strings.Repeat("a", 61) }),
			send:   completions(10),
		},
		"null": {
			create: indexed, send: func(j *batch.Job) { j.Spec.Completions = nil },
			want:   []string{"FieldValueRequired spec.completions"},
			detail: "when completion mode is Indexed",
		},
		// Upstream's validation of the policy would panic.
		"null with successPolicy": {
			create: both(indexed, func(j *batch.Job) {
				j.Spec.SuccessPolicy = &batch.SuccessPolicy{Rules: []batch.SuccessPolicyRule{{SucceededIndexes: ptr.To("3")}}}
			}),
			send: both(matchLabels(map[string]string{batch.ControllerUidLabel: uid, batch.JobNameLabel: "render"}),
				func(j *batch.Job) { j.Spec.Completions = nil }),
			want:   []string{"FieldValueRequired spec.completions"},
			detail: "when completion mode is Indexed",
		},
		"below an index of the successPolicy": {
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

func TestValidateTransition_FinishedJob(t *testing.T) {
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

// The Job controller would finish a suspended Job whose completions are satisfied. Status validation
// would reject that again and again, since the Job has no start time.
func TestValidateTransition_SuspendedJob(t *testing.T) {
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
	rejected := []string{"FieldValueForbidden spec.completions"}
	const detail = "must be greater than the 2 that have succeeded while the Job is suspended: resume the Job first, or set 0"
	for name, tc := range map[string]transition{
		"decrease to succeeded Pods":           {create: suspended, run: twoSucceeded, send: completions(2), want: rejected, detail: detail},
		"below succeeded Pods":                 {create: suspended, run: twoSucceeded, send: completions(1), want: rejected, detail: detail},
		"decrease to uncounted succeeded Pods": {create: suspended, run: uncounted, send: completions(2), want: rejected, detail: detail},
		"null with a succeeded Pod":            {create: suspended, run: twoSucceeded, send: null, want: rejected, detail: detail},
		"decrease to succeeded indexes":        {create: both(suspended, indexed), run: succeeded("0-1"), send: both(completions(2), parallelism(2)), want: rejected, detail: detail},
		"decrease between succeeded indexes":   {create: both(suspended, indexed), run: succeeded("0,3"), send: both(completions(2), parallelism(2))},
		"decrease to failed indexes": {
			create: perIndex, run: failed("0,3"), send: completions(1), want: rejected,
			detail: "must be greater than the 0 that have succeeded and the 1 that have failed for good while the Job is suspended",
		},
		"decrease to succeeded and failed indexes": {
			create: perIndex, run: both(succeeded("1"), failed("0")), send: both(completions(2), parallelism(2)), want: rejected,
			detail: "must be greater than the 1 that have succeeded and the 1 that have failed for good while the Job is suspended",
		},
		"decrease between failed indexes": {create: perIndex, run: failed("0,3"), send: completions(2)},
		"zero with failed indexes":        {create: perIndex, run: failed("0,3"), send: completions(0)},
		"decrease above succeeded Pods":   {create: suspended, run: twoSucceeded, send: completions(3)},
		"null without a succeeded Pod":    {create: suspended, send: null},
		"zero":                            {create: suspended, run: twoSucceeded, send: completions(0)},
		"start time set":                  {create: suspended, run: both(twoSucceeded, started), send: completions(2)},
		"Job not suspended":               {run: twoSucceeded, send: completions(2)},
		"parallelism only":                {create: both(suspended, completions(2)), run: twoSucceeded, send: parallelism(5)},
	} {
		t.Run(name, tc.test)
	}
}
