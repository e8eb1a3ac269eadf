// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package transitions

import (
	"fmt"
	"strings"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// checkOutcome checks the final status, and that all Pods belong to the Job and have ended.
func (jt *jobTest) checkOutcome(o outcome) {
	jt.t.Helper()
	job := jt.job()
	status := job.Status
	fail := func(format string, args ...any) {
		jt.t.Helper()
		jt.t.Errorf("%s (%s): "+format+": %+v", append(append([]any{jt.name, jt.combination}, args...), status)...)
	}
	other := "Complete"
	if o.condition == "Complete" {
		other = "Failed"
	}
	if !hasCondition(&status, o.condition) || hasCondition(&status, other) {
		fail("the only final condition must be %s", o.condition)
	}
	if status.Active != 0 || ptr.Deref(status.Ready, 0) != 0 || ptr.Deref(status.Terminating, 0) != 0 {
		fail("the Job has ended but its status counts Pods")
	}
	if u := status.UncountedTerminatedPods; u != nil && len(u.Succeeded)+len(u.Failed) > 0 {
		fail("the Job has ended with uncounted Pods")
	}
	succeeded, failures := len(o.succeeded), o.failures
	if o.mayExceed {
		succeeded = min(max(succeeded, int(status.Succeeded)), int(*job.Spec.Completions))
		failures = min(max(failures, int(status.Failed)), failures+int(*job.Spec.Parallelism))
	}
	if int(status.Succeeded) != succeeded || int(status.Failed) != failures {
		fail("%d succeeded and %d failed Pods, want %d and %d", status.Succeeded, status.Failed, succeeded, failures)
	}
	indexes, failedIndexes := "", ""
	if jt.combination.mode == indexed {
		indexes = formatIndexes(o.succeeded)
		if o.mayExceed && countIndexes(status.CompletedIndexes) == succeeded && strings.HasPrefix(status.CompletedIndexes, "0") {
			indexes = status.CompletedIndexes
		}
	}
	if jt.combination.hasPerIndexBackoff() {
		failedIndexes = formatIndexes(o.failedIndexes)
	}
	if status.CompletedIndexes != indexes || ptr.Deref(status.FailedIndexes, "") != failedIndexes {
		fail("completed indexes %q and failed indexes %q, want %q and %q", status.CompletedIndexes, ptr.Deref(status.FailedIndexes, ""), indexes, failedIndexes)
	}
	jt.eventually("own all of its Pods, with none running or tracked", func() error {
		for _, pod := range jt.podsMatching(anyPod) {
			switch owner := metav1.GetControllerOf(pod); {
			case owner == nil || owner.UID != job.UID:
				return fmt.Errorf("Pod %s is owned by %v", pod.Name, owner)
			case isUnfinished(pod) || hasTrackingFinalizer(pod) || isTerminating(pod):
				return fmt.Errorf("Pod %s is %s with finalizers %v", pod.Name, pod.Status.Phase, pod.Finalizers)
			}
		}
		return nil
	})
}

// countIndexes returns the number of indexes in a list like "1,3-5".
func countIndexes(text string) (count int) {
	for part := range strings.SplitSeq(text, ",") {
		var first, last int
		switch n, _ := fmt.Sscanf(part, "%d-%d", &first, &last); n {
		case 1:
			count++
		case 2:
			count += last - first + 1
		}
	}
	return count
}

// checkDeleted waits until the Job and its Pods are gone.
func (jt *jobTest) checkDeleted() {
	jt.t.Helper()
	jt.eventually("be gone", func() error {
		_, err := jt.client.BatchV1().Jobs(jt.namespace).Get(jt.t.Context(), jt.name, metav1.GetOptions{})
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("the Job exists: %v", err)
		}
		if pods := jt.podsMatching(anyPod); len(pods) > 0 {
			return fmt.Errorf("%d Pods exist", len(pods))
		}
		return nil
	})
}

// checkUntouched checks that the Job controller ignored a Job with managedBy.
func (jt *jobTest) checkUntouched(before *batchv1.Job) {
	jt.t.Helper()
	if diff := cmp.Diff(before.Status, jt.job().Status); diff != "" {
		jt.t.Errorf("%s (%s): the status changed (-before +after):\n%s", jt.name, jt.combination, diff)
	}
	if pods := jt.podsMatching(anyPod); len(pods) > 0 {
		jt.t.Errorf("%s (%s): %d Pods were created", jt.name, jt.combination, len(pods))
	}
}
