package core

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/test/framework"
)

// transition is a change of completions or parallelism of a Job, and what comes of it with
// the real Job controller.
type transition struct {
	// job and state say in the documentation what was changed, and when.
	job, state string
	// patch is the change, a merge patch of the spec.
	patch string
	// make changes the Job that is created. Its Pods are held.
	make func(*batchv1.JobSpec)
	// before brings the Job into the state in which it is patched.
	before func(s session)
	// refused is in the error, where the change is refused.
	refused string
	// active is the number of Pods that run after the change, before any of them may end.
	active int
	// ends is the condition that the Job ends with, once its Pods may end.
	ends batchv1.JobConditionType
	// succeeded and indexes are what the status says then; anySucceeded is for those where
	// it depends on which Pods are faster.
	succeeded int32
	indexes   string
}

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

// n is a number of completions.
func n(completions int32) *int32 { return &completions }

// running waits until so many Pods run.
func running(pods int) func(session) {
	return func(s session) { s.waitRunning("pi", pods) }
}

// succeeded lets Pods succeed: so many of a NonIndexed Job.
func succeeded(pods, count int) func(session) {
	return func(s session) {
		s.waitRunning("pi", pods)
		for _, pod := range s.pods("pi")[:count] {
			s.run("annotate", "pod", pod.Name, framework.HoldAnnotation+"-")
		}
		s.eventually("count them", func() error {
			if got := s.job("pi").Status.Succeeded; got != int32(count) {
				return fmt.Errorf("%d have succeeded", got)
			}
			return nil
		})
	}
}

// index lets the Pod of an index end with an exit code, and waits until that is counted.
func index(pods, number, code int) func(session) {
	return func(s session) {
		s.waitRunning("pi", pods)
		for _, pod := range s.pods("pi") {
			if pod.Annotations[batchv1.JobCompletionIndexAnnotation] == strconv.Itoa(number) {
				s.run("annotate", "pod", pod.Name, framework.ExitCodeAnnotation+"="+strconv.Itoa(code), framework.HoldAnnotation+"-")
			}
		}
		s.eventually("count the index", func() error {
			status := s.job("pi").Status
			if strings.Contains(status.CompletedIndexes+" "+ptr.Deref(status.FailedIndexes, "")+conditionsOf(status), strconv.Itoa(number)) {
				return nil
			}
			return fmt.Errorf("the status is %+v", status)
		})
	}
}

// conditionsOf returns the messages of the conditions.
func conditionsOf(status batchv1.JobStatus) string {
	text := ""
	for _, condition := range status.Conditions {
		text += " " + string(condition.Type) + " " + condition.Message
	}
	return text
}

func ended(condition batchv1.JobConditionType) func(session) {
	return func(s session) { s.finish("pi", condition) }
}

func failing(spec *batchv1.JobSpec) {
	spec.BackoffLimit = n(0)
	spec.Template.Annotations[framework.ExitCodeAnnotation] = "1"
}

var transitions = []transition{
	{job: "NonIndexed 1", state: "running", patch: `{"completions": 4}`, make: nonIndexed(1, n(1)), before: running(1), active: 1, ends: batchv1.JobComplete, succeeded: 4},
	{job: "NonIndexed 1", state: "running", patch: `{"completions": 4, "parallelism": 4}`, make: nonIndexed(1, n(1)), before: running(1), active: 4, ends: batchv1.JobComplete, succeeded: 4},
	{job: "NonIndexed 5", state: "running", patch: `{"completions": 2}`, make: nonIndexed(3, n(5)), before: running(3), active: 2, ends: batchv1.JobComplete, succeeded: 2},
	{job: "NonIndexed 5", state: "2 succeeded", patch: `{"completions": 8}`, make: nonIndexed(3, n(5)), before: succeeded(3, 2), active: 3, ends: batchv1.JobComplete, succeeded: 8},
	{job: "NonIndexed 5", state: "2 succeeded", patch: `{"completions": 2}`, make: nonIndexed(3, n(5)), before: succeeded(3, 2), ends: batchv1.JobComplete, succeeded: 2},
	{job: "NonIndexed 5", state: "2 succeeded", patch: `{"completions": 1}`, make: nonIndexed(3, n(5)), before: succeeded(3, 2), ends: batchv1.JobComplete, succeeded: 2},
	{job: "NonIndexed 5", state: "running", patch: `{"completions": 0}`, make: nonIndexed(3, n(5)), before: running(3), ends: batchv1.JobComplete},
	{job: "NonIndexed 5", state: "running", patch: `{"completions": null}`, make: nonIndexed(3, n(5)), before: running(3), active: 3, ends: batchv1.JobComplete, succeeded: 3},
	{job: "NonIndexed 5", state: "2 succeeded", patch: `{"completions": null}`, make: nonIndexed(3, n(5)), before: succeeded(3, 2), active: 3, ends: batchv1.JobComplete, succeeded: 5},
	{job: "work queue", state: "running", patch: `{"completions": 5}`, make: nonIndexed(2, nil), before: running(2), active: 2, ends: batchv1.JobComplete, succeeded: 5},
	{job: "work queue", state: "1 succeeded", patch: `{"completions": 4}`, make: nonIndexed(3, nil), before: succeeded(3, 1), active: 3, ends: batchv1.JobComplete, succeeded: 4},
	{job: "work queue", state: "1 succeeded", patch: `{"completions": 1}`, make: nonIndexed(3, nil), before: succeeded(3, 1), ends: batchv1.JobComplete, succeeded: 1},
	{job: "NonIndexed 1", state: "no Pods (parallelism 0)", patch: `{"completions": 3, "parallelism": 2}`, make: nonIndexed(0, n(1)), before: running(0), active: 2, ends: batchv1.JobComplete, succeeded: 3},
	{job: "NonIndexed 1", state: "Complete", patch: `{"completions": 2}`, make: nonIndexed(1, n(1)), before: ended(batchv1.JobComplete), refused: "may not be updated once the Job has the condition Complete"},
	{job: "NonIndexed 1", state: "Failed", patch: `{"completions": 2}`, make: failing, before: ended(batchv1.JobFailed), refused: "may not be updated once the Job has the condition Failed"},

	{job: "Indexed 2", state: "running", patch: `{"completions": 4, "parallelism": 4}`, make: indexed(2, 2), before: running(2), active: 4, ends: batchv1.JobComplete, succeeded: 4, indexes: "0-3"},
	{job: "Indexed 2", state: "running", patch: `{"completions": 4}`, make: indexed(2, 2), before: running(2), active: 2, ends: batchv1.JobComplete, succeeded: 4, indexes: "0-3"},
	{job: "Indexed 4", state: "running", patch: `{"completions": 2}`, make: indexed(3, 4), before: running(3), active: 2, ends: batchv1.JobComplete, succeeded: 2, indexes: "0,1"},
	{job: "Indexed 4", state: "index 0 succeeded", patch: `{"completions": 2}`, make: indexed(4, 4), before: index(4, 0, 0), active: 1, ends: batchv1.JobComplete, succeeded: 2, indexes: "0,1"},
	{job: "Indexed 4", state: "index 3 succeeded", patch: `{"completions": 2, "parallelism": 2}`, make: indexed(4, 4), before: index(4, 3, 0), active: 2, ends: batchv1.JobComplete, succeeded: 2, indexes: "0,1"},
	{job: "Indexed 4", state: "index 3 succeeded", patch: `{"completions": 2}`, make: indexed(4, 4), before: index(4, 3, 0), refused: "may not be lower than 4, since index 3 has succeeded"},
	{job: "Indexed 4", state: "index 3 succeeded", patch: `{"completions": 6}`, make: indexed(4, 4), before: index(4, 3, 0), active: 4, ends: batchv1.JobComplete, succeeded: 6, indexes: "0-5"},
	{job: "Indexed 4", state: "running", patch: `{"completions": 0}`, make: indexed(4, 4), before: running(4), ends: batchv1.JobComplete},
	{job: "Indexed 4", state: "running", patch: `{"completions": null}`, make: indexed(4, 4), before: running(4), refused: "when completion mode is Indexed"},

	{job: "Indexed 3, successPolicy: index 0", state: "running", patch: `{"completions": 5}`, make: indexed(3, 3, successPolicy("0")), before: running(3), active: 3, ends: batchv1.JobComplete, succeeded: anySucceeded},
	{job: "Indexed 3, successPolicy: indexes 0-2", state: "running", patch: `{"completions": 2}`, make: indexed(3, 3, successPolicy("0-2")), before: running(3), refused: "spec.successPolicy.rules[0].succeededIndexes"},
	{job: "Indexed 3, backoffLimitPerIndex 0", state: "index 1 failed", patch: `{"completions": 4, "parallelism": 4}`, make: indexed(3, 3, backoffPerIndex), before: index(3, 1, 1), active: 3, ends: batchv1.JobFailed, succeeded: 3, indexes: "0,2,3"},
	{job: "Indexed 3, backoffLimitPerIndex 0", state: "index 2 failed", patch: `{"completions": 2}`, make: indexed(3, 3, backoffPerIndex), before: index(3, 2, 1), active: 2, ends: batchv1.JobComplete, succeeded: 2, indexes: "0,1"},
	{job: "Indexed 3, maxFailedIndexes 3", state: "running", patch: `{"completions": 2}`, make: indexed(3, 3, backoffPerIndex, maxFailed(3)), before: running(3), refused: "spec.maxFailedIndexes"},
	{job: "Indexed 3, podFailurePolicy: ignore 7", state: "running", patch: `{"completions": 4}`, make: indexed(3, 3, podFailurePolicy), before: running(3), active: 3, ends: batchv1.JobComplete, succeeded: 4, indexes: "0-3"},
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

func TestTransitionsEndAsDocumented(t *testing.T) {
	t.Parallel()
	for _, tc := range transitions {
		t.Run(strings.Join([]string{tc.job, tc.state, tc.patch}, " "), func(t *testing.T) {
			t.Parallel()
			s := newSession(t)
			s.create(newJob("pi", func(job *batchv1.Job) { tc.make(&job.Spec) }))
			tc.before(s)
			patch := []string{"patch", "job", "pi", "--type=merge", `--patch={"spec": ` + tc.patch + `}`}
			if tc.refused != "" {
				s.refused(patch, tc.refused)
				return
			}
			s.run(patch...)
			s.waitRunning("pi", tc.active)
			s.finish("pi", tc.ends)
			s.checkCounts(tc)
		})
	}
}

// checkCounts checks that the status says what the Pods say, and what tc does.
func (s session) checkCounts(tc transition) {
	s.t.Helper()
	status := s.job("pi").Status
	if status.Active != 0 || ptr.Deref(status.Terminating, 0) != 0 {
		s.t.Errorf("the Job has ended with Pods: %+v", status)
	}
	if tc.succeeded != anySucceeded && (status.Succeeded != tc.succeeded || status.CompletedIndexes != tc.indexes) {
		s.t.Errorf("%d Pods have succeeded, with the indexes %q, want %d and %q: %+v", status.Succeeded, status.CompletedIndexes, tc.succeeded, tc.indexes, status)
	}
	s.eventually("have no Pod that runs", func() error {
		if slices.ContainsFunc(s.pods("pi"), func(pod corev1.Pod) bool { return pod.Status.Phase == corev1.PodRunning }) {
			return fmt.Errorf("there is one")
		}
		return nil
	})
}
