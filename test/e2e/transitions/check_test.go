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

type batchStatus = batchv1.JobStatus

// checkEnd checks the status, and that the Pods are the Job's, and done with.
func (b *bench) checkEnd(o outcome) {
	b.t.Helper()
	job := b.job()
	status := job.Status
	fail := func(format string, args ...any) {
		b.t.Helper()
		b.t.Errorf("%s (%s): "+format+": %+v", append(append([]any{b.name, b.cell}, args...), status)...)
	}
	ends := map[bool]string{true: "Complete", false: "Failed"}
	if !has(&status, o.condition) || has(&status, ends[o.condition != "Complete"]) {
		fail("it is not %s, or not only that", o.condition)
	}
	if status.Active != 0 || ptr.Deref(status.Ready, 0) != 0 || ptr.Deref(status.Terminating, 0) != 0 {
		fail("it has ended, and has Pods")
	}
	if u := status.UncountedTerminatedPods; u != nil && len(u.Succeeded)+len(u.Failed) > 0 {
		fail("it has ended, and not counted all Pods")
	}
	succeeded, failures := len(o.succeeded), o.failures
	if o.more {
		succeeded = min(max(succeeded, int(status.Succeeded)), int(*job.Spec.Completions))
		failures = min(max(failures, int(status.Failed)), failures+int(*job.Spec.Parallelism))
	}
	if int(status.Succeeded) != succeeded || int(status.Failed) != failures {
		fail("%d have succeeded and %d failed, want %d and %d", status.Succeeded, status.Failed, succeeded, failures)
	}
	indexes, failedIndexes := "", ""
	if b.cell.mode == indexed {
		indexes = intervals(o.succeeded)
		if o.more && countIndexes(status.CompletedIndexes) == succeeded && strings.HasPrefix(status.CompletedIndexes, "0") {
			indexes = status.CompletedIndexes
		}
	}
	if b.cell.perIndex() {
		failedIndexes = intervals(o.failedIndexes)
	}
	if status.CompletedIndexes != indexes || ptr.Deref(status.FailedIndexes, "") != failedIndexes {
		fail("the indexes are %q and %q, want %q and %q", status.CompletedIndexes, ptr.Deref(status.FailedIndexes, ""), indexes, failedIndexes)
	}
	b.eventually("have Pods of its own only, none running or tracked", func() error {
		for _, pod := range b.pods(all) {
			switch owner := metav1.GetControllerOf(pod); {
			case owner == nil || owner.UID != job.UID:
				return fmt.Errorf("%s belongs to %v", pod.Name, owner)
			case unfinished(pod) || tracked(pod) || terminates(pod):
				return fmt.Errorf("%s is %s, with the finalizers %v", pod.Name, pod.Status.Phase, pod.Finalizers)
			}
		}
		return nil
	})
}

// countIndexes counts what a status lists.
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

// checkGone checks that the Job and its Pods are no more.
func (b *bench) checkGone() {
	b.t.Helper()
	b.eventually("be gone", func() error {
		_, err := b.client.BatchV1().Jobs(b.namespace).Get(b.t.Context(), b.name, metav1.GetOptions{})
		if !apierrors.IsNotFound(err) {
			return fmt.Errorf("it is there, or %v", err)
		}
		if pods := b.pods(all); len(pods) > 0 {
			return fmt.Errorf("%d Pods are left", len(pods))
		}
		return nil
	})
}

// checkStored checks that nobody has acted on a Job of an external controller.
func (b *bench) checkStored(was *batchv1.Job) {
	b.t.Helper()
	if diff := cmp.Diff(was.Status, b.job().Status); diff != "" {
		b.t.Errorf("%s (%s): somebody has changed the status (-was +is):\n%s", b.name, b.cell, diff)
	}
	if pods := b.pods(all); len(pods) > 0 {
		b.t.Errorf("%s (%s): somebody has made %d Pods", b.name, b.cell, len(pods))
	}
}
