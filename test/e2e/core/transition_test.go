// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package core

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/test/e2e/internal/session"

	"github.com/batchgate/batchgate/test/framework"
)

// transition is a change of completions or parallelism of a Job, and the outcome with the real Job
// controller.
type transition struct {
	// job and state describe the Job before the change in the docs.
	job, state string
	// patch is a merge patch of the spec.
	patch string
	// change customizes the spec of the Job before it is created. Its Pods are held.
	change func(*batchv1.JobSpec)
	// before brings the Job into the state.
	before func(s session.Session)
	// wantError is part of the error if the change is rejected.
	wantError string
	// active is the number of running Pods after the change, while all Pods are held.
	active int
	// ends is the final condition of the Job, once its Pods are released.
	ends batchv1.JobConditionType
	// succeeded and indexes are expected in the final status.
	succeeded int32
	indexes   string
}

// anySucceeded means that the number of succeeded Pods depends on which Pods end first.
const anySucceeded = -1

func nonIndexed(parallelism int32, completions *int32) func(*batchv1.JobSpec) {
	return func(spec *batchv1.JobSpec) {
		spec.Parallelism, spec.Completions = &parallelism, completions
	}
}

func indexed(parallelism, completions int32, changes ...func(*batchv1.JobSpec)) func(*batchv1.JobSpec) {
	return func(spec *batchv1.JobSpec) {
		spec.CompletionMode = ptr.To(batchv1.IndexedCompletion)
		spec.Parallelism, spec.Completions = &parallelism, &completions
		for _, change := range changes {
			change(spec)
		}
	}
}

func n(completions int32) *int32 { return &completions }

func running(pods int) func(session.Session) {
	return func(s session.Session) { s.WaitRunning("pi", pods) }
}

// succeeded waits until that many Pods run, lets count of them succeed, and waits until the status counts
// them.
func succeeded(pods, count int) func(session.Session) {
	return func(s session.Session) {
		s.WaitRunning("pi", pods)
		for _, pod := range s.Pods("pi")[:count] {
			s.Run("annotate", "pod", pod.Name, framework.HoldAnnotation+"-")
		}
		s.Eventually("see the Pods counted as succeeded", func() error {
			if got := s.Job("pi").Status.Succeeded; got != int32(count) {
				return fmt.Errorf("%d Pods have succeeded", got)
			}
			return nil
		})
	}
}

// endIndex waits until that many Pods run, ends the Pod with the index, and waits until the status counts
// the index.
func endIndex(pods, index, exitCode int) func(session.Session) {
	return func(s session.Session) {
		s.WaitRunning("pi", pods)
		for _, pod := range s.Pods("pi") {
			if pod.Annotations[batchv1.JobCompletionIndexAnnotation] == strconv.Itoa(index) {
				s.Run("annotate", "pod", pod.Name, framework.ExitCodeAnnotation+"="+strconv.Itoa(exitCode), framework.HoldAnnotation+"-")
			}
		}
		s.Eventually(fmt.Sprintf("see index %d counted", index), func() error {
			status := s.Job("pi").Status
			if strings.Contains(status.CompletedIndexes+" "+ptr.Deref(status.FailedIndexes, "")+conditionsOf(status), strconv.Itoa(index)) {
				return nil
			}
			return fmt.Errorf("status is %+v", status)
		})
	}
}

// conditionsOf returns the types and messages of all conditions as one string.
func conditionsOf(status batchv1.JobStatus) string {
	text := ""
	for _, condition := range status.Conditions {
		text += " " + string(condition.Type) + " " + condition.Message
	}
	return text
}

func ended(condition batchv1.JobConditionType) func(session.Session) {
	return func(s session.Session) { s.FinishJob("pi", condition) }
}

func failing(spec *batchv1.JobSpec) {
	spec.BackoffLimit = n(0)
	spec.Template.Annotations[framework.ExitCodeAnnotation] = "1"
}

var transitions = []transition{
	{job: "NonIndexed 1", state: "running", patch: `{"completions": 4}`, change: nonIndexed(1, n(1)), before: running(1), active: 1, ends: batchv1.JobComplete, succeeded: 4},
	{job: "NonIndexed 1", state: "running", patch: `{"completions": 4, "parallelism": 4}`, change: nonIndexed(1, n(1)), before: running(1), active: 4, ends: batchv1.JobComplete, succeeded: 4},
	{job: "NonIndexed 5", state: "running", patch: `{"completions": 2}`, change: nonIndexed(3, n(5)), before: running(3), active: 2, ends: batchv1.JobComplete, succeeded: 2},
	{job: "NonIndexed 5", state: "2 succeeded", patch: `{"completions": 8}`, change: nonIndexed(3, n(5)), before: succeeded(3, 2), active: 3, ends: batchv1.JobComplete, succeeded: 8},
	{job: "NonIndexed 5", state: "2 succeeded", patch: `{"completions": 2}`, change: nonIndexed(3, n(5)), before: succeeded(3, 2), ends: batchv1.JobComplete, succeeded: 2},
	{job: "NonIndexed 5", state: "2 succeeded", patch: `{"completions": 1}`, change: nonIndexed(3, n(5)), before: succeeded(3, 2), ends: batchv1.JobComplete, succeeded: 2},
	{job: "NonIndexed 5", state: "running", patch: `{"completions": 0}`, change: nonIndexed(3, n(5)), before: running(3), ends: batchv1.JobComplete},
	{job: "NonIndexed 5", state: "running", patch: `{"completions": null}`, change: nonIndexed(3, n(5)), before: running(3), active: 3, ends: batchv1.JobComplete, succeeded: 3},
	{job: "NonIndexed 5", state: "2 succeeded", patch: `{"completions": null}`, change: nonIndexed(3, n(5)), before: succeeded(3, 2), active: 3, ends: batchv1.JobComplete, succeeded: 5},
	{job: "work queue", state: "running", patch: `{"completions": 5}`, change: nonIndexed(2, nil), before: running(2), active: 2, ends: batchv1.JobComplete, succeeded: 5},
	{job: "work queue", state: "1 succeeded", patch: `{"completions": 4}`, change: nonIndexed(3, nil), before: succeeded(3, 1), active: 3, ends: batchv1.JobComplete, succeeded: 4},
	{job: "work queue", state: "1 succeeded", patch: `{"completions": 1}`, change: nonIndexed(3, nil), before: succeeded(3, 1), ends: batchv1.JobComplete, succeeded: 1},
	{job: "NonIndexed 1", state: "no Pods (parallelism 0)", patch: `{"completions": 3, "parallelism": 2}`, change: nonIndexed(0, n(1)), before: running(0), active: 2, ends: batchv1.JobComplete, succeeded: 3},
	{job: "NonIndexed 1", state: "Complete", patch: `{"completions": 2}`, change: nonIndexed(1, n(1)), before: ended(batchv1.JobComplete), wantError: "may not be updated once the Job has the condition Complete"},
	{job: "NonIndexed 1", state: "Failed", patch: `{"completions": 2}`, change: failing, before: ended(batchv1.JobFailed), wantError: "may not be updated once the Job has the condition Failed"},

	{job: "Indexed 2", state: "running", patch: `{"completions": 4, "parallelism": 4}`, change: indexed(2, 2), before: running(2), active: 4, ends: batchv1.JobComplete, succeeded: 4, indexes: "0-3"},
	{job: "Indexed 2", state: "running", patch: `{"completions": 4}`, change: indexed(2, 2), before: running(2), active: 2, ends: batchv1.JobComplete, succeeded: 4, indexes: "0-3"},
	{job: "Indexed 4", state: "running", patch: `{"completions": 2}`, change: indexed(3, 4), before: running(3), active: 2, ends: batchv1.JobComplete, succeeded: 2, indexes: "0,1"},
	{job: "Indexed 4", state: "index 0 succeeded", patch: `{"completions": 2}`, change: indexed(4, 4), before: endIndex(4, 0, 0), active: 1, ends: batchv1.JobComplete, succeeded: 2, indexes: "0,1"},
	{job: "Indexed 4", state: "index 3 succeeded", patch: `{"completions": 2, "parallelism": 2}`, change: indexed(4, 4), before: endIndex(4, 3, 0), active: 2, ends: batchv1.JobComplete, succeeded: 2, indexes: "0,1"},
	{job: "Indexed 4", state: "index 3 succeeded", patch: `{"completions": 2}`, change: indexed(4, 4), before: endIndex(4, 3, 0), wantError: "may not be lower than 4, since index 3 has succeeded"},
	{job: "Indexed 4", state: "index 3 succeeded", patch: `{"completions": 6}`, change: indexed(4, 4), before: endIndex(4, 3, 0), active: 4, ends: batchv1.JobComplete, succeeded: 6, indexes: "0-5"},
	{job: "Indexed 4", state: "running", patch: `{"completions": 0}`, change: indexed(4, 4), before: running(4), ends: batchv1.JobComplete},
	{job: "Indexed 4", state: "running", patch: `{"completions": null}`, change: indexed(4, 4), before: running(4), wantError: "when completion mode is Indexed"},

	{job: "Indexed 3, successPolicy: index 0", state: "running", patch: `{"completions": 5}`, change: indexed(3, 3, successPolicy("0")), before: running(3), active: 3, ends: batchv1.JobComplete, succeeded: anySucceeded},
	{job: "Indexed 3, successPolicy: indexes 0-2", state: "running", patch: `{"completions": 2}`, change: indexed(3, 3, successPolicy("0-2")), before: running(3), wantError: "spec.successPolicy.rules[0].succeededIndexes"},
	{job: "Indexed 3, backoffLimitPerIndex 0", state: "index 1 failed", patch: `{"completions": 4, "parallelism": 4}`, change: indexed(3, 3, backoffPerIndex), before: endIndex(3, 1, 1), active: 3, ends: batchv1.JobFailed, succeeded: 3, indexes: "0,2,3"},
	{job: "Indexed 3, backoffLimitPerIndex 0", state: "index 2 failed", patch: `{"completions": 2}`, change: indexed(3, 3, backoffPerIndex), before: endIndex(3, 2, 1), active: 2, ends: batchv1.JobComplete, succeeded: 2, indexes: "0,1"},
	{job: "Indexed 3, maxFailedIndexes 3", state: "running", patch: `{"completions": 2}`, change: indexed(3, 3, backoffPerIndex, maxFailed(3)), before: running(3), wantError: "spec.maxFailedIndexes"},
	{job: "Indexed 3, podFailurePolicy: ignore 7", state: "running", patch: `{"completions": 4}`, change: indexed(3, 3, podFailurePolicy), before: running(3), active: 3, ends: batchv1.JobComplete, succeeded: 4, indexes: "0-3"},
}

func successPolicy(indexes string) func(*batchv1.JobSpec) {
	return func(spec *batchv1.JobSpec) {
		spec.SuccessPolicy = &batchv1.SuccessPolicy{Rules: []batchv1.SuccessPolicyRule{{SucceededIndexes: &indexes}}}
	}
}

func backoffPerIndex(spec *batchv1.JobSpec) { spec.BackoffLimitPerIndex = n(0) }

func maxFailed(indexes int32) func(*batchv1.JobSpec) {
	return func(spec *batchv1.JobSpec) { spec.MaxFailedIndexes = &indexes }
}

func podFailurePolicy(spec *batchv1.JobSpec) {
	spec.PodFailurePolicy = &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{{
		Action:      batchv1.PodFailurePolicyActionIgnore,
		OnExitCodes: &batchv1.PodFailurePolicyOnExitCodesRequirement{Operator: batchv1.PodFailurePolicyOnExitCodesOpIn, Values: []int32{7}},
	}}}
}

func TestTransitionOutcomes(t *testing.T) {
	t.Parallel()
	for _, tc := range transitions {
		t.Run(strings.Join([]string{tc.job, tc.state, tc.patch}, " "), func(t *testing.T) {
			t.Parallel()
			s := session.New(t, cluster)
			s.CreateJob(session.NewJob("pi", func(job *batchv1.Job) { tc.change(&job.Spec) }))
			tc.before(s)
			patch := []string{"patch", "job", "pi", "--type=merge", `--patch={"spec": ` + tc.patch + `}`}
			if tc.wantError != "" {
				s.ExpectError(patch, tc.wantError)
				return
			}
			s.Run(patch...)
			s.WaitRunning("pi", tc.active)
			s.FinishJob("pi", tc.ends)
			checkCounts(s, tc)
		})
	}
}

// checkCounts checks the final status of the Job, and that no Pod is running.
func checkCounts(s session.Session, tc transition) {
	s.T.Helper()
	status := s.Job("pi").Status
	if status.Active != 0 || ptr.Deref(status.Terminating, 0) != 0 {
		s.T.Errorf("finished Job still counts Pods: %+v", status)
	}
	if tc.succeeded != anySucceeded && (status.Succeeded != tc.succeeded || status.CompletedIndexes != tc.indexes) {
		s.T.Errorf("got %d succeeded Pods with indexes %q, want %d and %q: %+v", status.Succeeded, status.CompletedIndexes, tc.succeeded, tc.indexes, status)
	}
	s.Eventually("have no running Pod", func() error {
		if slices.ContainsFunc(s.Pods("pi"), func(pod corev1.Pod) bool { return pod.Status.Phase == corev1.PodRunning }) {
			return errors.New("a Pod is running")
		}
		return nil
	})
}
