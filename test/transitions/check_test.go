package transitions

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

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
		failures = min(max(failures, int(status.Failed)), len(b.pods(all))-succeeded)
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

// These are errors that go away by trying again, and those of parts that are not the Job
// controller, or of a control plane that starts.
var (
	errorLine = regexp.MustCompile(`^E\d{4} \S+ +\d+ (\S+\.go:\d+\] .*)`)
	syncError = regexp.MustCompile(`"?syncing job: `)
	transient = regexp.MustCompile(`the object has been modified|is not as new as written version|StorageError: invalid object.*Precondition failed|jobs\.batch \\?"[a-z0-9-]+\\?" not found`)
)

// errorsIn returns the errors of a log in klog's form, with how often each was logged. One that
// has several lines is one error.
func errorsIn(log io.Reader) (map[string]int, error) {
	errors := map[string]int{}
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		m := errorLine.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		message := m[1]
		for strings.HasSuffix(m[1], "=<") && lines.Scan() {
			message += "\n" + lines.Text()
			if strings.HasPrefix(lines.Text(), " >") {
				break
			}
		}
		errors[message]++
	}
	return errors, lines.Err()
}

// checkLog fails the test for errors of the Job controller other than transient ones, and
// where it finds none of these: thousands of Jobs are not run without a conflict.
func checkLog(t *testing.T, path string) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	errors, err := errorsIn(file)
	if err != nil {
		t.Fatal(err)
	}
	retried := 0
	for message, count := range errors {
		switch {
		case transient.MatchString(message):
			if syncError.MatchString(message) {
				retried += count
			}
		default:
			t.Errorf("kube-controller-manager has logged %d times: %s", count, message)
		}
	}
	if retried == 0 {
		t.Error("the Job controller has logged no conflict: does it log errors in another form?")
	}
	t.Logf("the Job controller has tried again %d times after a conflict", retried)
}
