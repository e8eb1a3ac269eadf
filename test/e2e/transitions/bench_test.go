package transitions

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/batchgate/batchgate/test/framework"
)

const (
	// patience bounds everything that is waited for, on a busy machine.
	patience = 3 * time.Minute

	// cellLabel is the label of the Pods with the name of the Job that they are made for.
	cellLabel = "cell"

	// holdFinalizer keeps Pods that are deleted until the test lets them go.
	holdFinalizer = "test.batchgate.io/hold"
)

// bench is a Job that a cell is about.
type bench struct {
	t      *testing.T
	client kubernetes.Interface
	seen   *caches
	cell   cell
	// audit checks once more, when all others have ended, that nothing has changed.
	audit     func()
	namespace string
	name      string
}

func (b *bench) eventually(what string, check func() error) {
	b.t.Helper()
	framework.Eventually(b.t, patience, what+", for "+b.name, check)
}

// must fails the test if there is an error.
func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatalf("%s: %v", b.name, err)
	}
}

// job returns the Job as it is now.
func (b *bench) job() *batchv1.Job {
	b.t.Helper()
	job, err := b.client.BatchV1().Jobs(b.namespace).Get(b.t.Context(), b.name, metav1.GetOptions{})
	b.must(err)
	return job
}

// patch updates the Job.
func (b *bench) patch(patch string) error {
	_, err := b.client.BatchV1().Jobs(b.namespace).Patch(b.t.Context(), b.name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	return err
}

// status waits until the status, as it was seen last, is good.
func (b *bench) status(what string, good func(*batchv1.JobStatus) bool) {
	b.t.Helper()
	b.eventually(what, func() error {
		job := b.seen.job(b.namespace, b.name)
		if job == nil {
			return fmt.Errorf("it was not seen")
		}
		if !good(&job.Status) {
			return fmt.Errorf("the status is %+v", job.Status)
		}
		return nil
	})
}

// condition waits until the Job has it.
func (b *bench) condition(kind string) {
	b.t.Helper()
	b.status("be "+kind, func(status *batchv1.JobStatus) bool { return has(status, kind) })
}

func has(status *batchv1.JobStatus, kind string) bool {
	return framework.HasCondition(status, batchv1.JobConditionType(kind))
}

// pods returns the Pods made for the Job that are as asked for.
func (b *bench) pods(want func(*corev1.Pod) bool) []*corev1.Pod {
	b.t.Helper()
	return slices.DeleteFunc(b.seen.podsOf(b.name), func(pod *corev1.Pod) bool { return !want(pod) })
}

func all(*corev1.Pod) bool { return true }

func runs(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && pod.Status.Phase == corev1.PodRunning
}

// unfinished are those that run, or will.
func unfinished(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && (pod.Status.Phase == corev1.PodRunning || pod.Status.Phase == corev1.PodPending)
}

func terminates(pod *corev1.Pod) bool { return pod.DeletionTimestamp != nil }

func tracked(pod *corev1.Pod) bool {
	return slices.Contains(pod.Finalizers, batchv1.JobTrackingFinalizer)
}

// running waits until so many Pods run and no more are to come, and the controller has
// counted them.
func (b *bench) running(count int32) {
	b.t.Helper()
	b.eventually(fmt.Sprintf("have %d running Pods", count), func() error {
		job := b.seen.job(b.namespace, b.name)
		if running, any := len(b.pods(runs)), len(b.pods(unfinished)); int32(running) != count || any != running || job == nil || job.Status.Active != count {
			return fmt.Errorf("%d Pods run, of %d that are not finished: %+v", running, any, job)
		}
		return nil
	})
}

func indexOf(pod *corev1.Pod) int {
	index, err := strconv.Atoi(pod.Annotations[batchv1.JobCompletionIndexAnnotation])
	if err != nil {
		return -1
	}
	return index
}

// endPod lets one Pod end: that of the index, or any of a Job without indexes.
func (b *bench) endPod(index, code int) *corev1.Pod {
	b.t.Helper()
	pods := b.pods(func(pod *corev1.Pod) bool {
		_, held := pod.Annotations[framework.HoldAnnotation]
		return runs(pod) && held && (b.cell.mode != indexed || indexOf(pod) == index)
	})
	if len(pods) == 0 {
		b.t.Fatalf("%s has no Pod that could end with index %d", b.name, index)
	}
	slices.SortFunc(pods, func(x, y *corev1.Pod) int { return indexOf(x) - indexOf(y) })
	b.end(pods[0], code)
	return pods[0]
}

// end lets a Pod end, if it is still there.
func (b *bench) end(pod *corev1.Pod, code int) {
	b.t.Helper()
	patch := fmt.Sprintf(`{"metadata": {"annotations": {%q: "%d", %q: null}}}`, framework.ExitCodeAnnotation, code, framework.HoldAnnotation)
	b.patchPod(pod, patch)
}

func (b *bench) patchPod(pod *corev1.Pod, patch string, subresources ...string) {
	b.t.Helper()
	_, err := b.client.CoreV1().Pods(b.namespace).Patch(b.t.Context(), pod.Name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}, subresources...)
	if err != nil && !apierrors.IsNotFound(err) {
		b.t.Fatalf("%s: %v", b.name, err)
	}
}
