// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

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
	// waitTimeout is long enough for a busy machine.
	waitTimeout = 3 * time.Minute

	// testJobLabel is a label of Pods with the name of the Job whose template they are from.
	testJobLabel = "test-job"

	// holdFinalizer keeps deleted Pods until the test removes it.
	holdFinalizer = "test.batchgate.io/hold"
)

// jobTest tests one combination with a Job.
type jobTest struct {
	t           *testing.T
	client      kubernetes.Interface
	cache       *informerCache
	combination combination
	// recheck is called after all tests have ended. It checks that the final state did not change.
	recheck   func()
	namespace string
	name      string
}

func (jt *jobTest) eventually(what string, check func() error) {
	jt.t.Helper()
	framework.Eventually(jt.t, waitTimeout, what+", for "+jt.name, check)
}

// must ends the test if err is not nil.
func (jt *jobTest) must(err error) {
	jt.t.Helper()
	if err != nil {
		jt.t.Fatalf("%s: %v", jt.name, err)
	}
}

// job reads the Job from the server.
func (jt *jobTest) job() *batchv1.Job {
	jt.t.Helper()
	job, err := jt.client.BatchV1().Jobs(jt.namespace).Get(jt.t.Context(), jt.name, metav1.GetOptions{})
	jt.must(err)
	return job
}

// patchJob sends a merge patch.
func (jt *jobTest) patchJob(patch string) error {
	_, err := jt.client.BatchV1().Jobs(jt.namespace).Patch(jt.t.Context(), jt.name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	return err
}

// awaitStatus waits until the cached status satisfies the predicate.
func (jt *jobTest) awaitStatus(what string, predicate func(*batchv1.JobStatus) bool) {
	jt.t.Helper()
	jt.eventually(what, func() error {
		job := jt.cache.job(jt.namespace, jt.name)
		if job == nil {
			return fmt.Errorf("the Job is not in the cache")
		}
		if !predicate(&job.Status) {
			return fmt.Errorf("the status is %+v", job.Status)
		}
		return nil
	})
}

func (jt *jobTest) awaitCondition(kind string) {
	jt.t.Helper()
	jt.awaitStatus("be "+kind, func(status *batchv1.JobStatus) bool { return hasCondition(status, kind) })
}

func hasCondition(status *batchv1.JobStatus, kind string) bool {
	return framework.HasCondition(status, batchv1.JobConditionType(kind))
}

// podsMatching returns the Pods of the Job's template that satisfy the predicate.
func (jt *jobTest) podsMatching(predicate func(*corev1.Pod) bool) []*corev1.Pod {
	jt.t.Helper()
	return slices.DeleteFunc(jt.cache.podsFor(jt.name), func(pod *corev1.Pod) bool { return !predicate(pod) })
}

func anyPod(*corev1.Pod) bool { return true }

func isRunning(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && pod.Status.Phase == corev1.PodRunning
}

// isUnfinished reports whether the Pod is running or pending, and not terminating.
func isUnfinished(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && (pod.Status.Phase == corev1.PodRunning || pod.Status.Phase == corev1.PodPending)
}

func isTerminating(pod *corev1.Pod) bool { return pod.DeletionTimestamp != nil }

func hasTrackingFinalizer(pod *corev1.Pod) bool {
	return slices.Contains(pod.Finalizers, batchv1.JobTrackingFinalizer)
}

// awaitRunning waits until exactly count Pods run, none is pending, and status.active is count.
func (jt *jobTest) awaitRunning(count int32) {
	jt.t.Helper()
	jt.eventually(fmt.Sprintf("have %d running Pods", count), func() error {
		job := jt.cache.job(jt.namespace, jt.name)
		if running, unfinished := len(jt.podsMatching(isRunning)), len(jt.podsMatching(isUnfinished)); int32(running) != count || unfinished != running || job == nil || job.Status.Active != count {
			return fmt.Errorf("%d of %d unfinished Pods are running: %+v", running, unfinished, job)
		}
		return nil
	})
}

func completionIndex(pod *corev1.Pod) int {
	index, err := strconv.Atoi(pod.Annotations[batchv1.JobCompletionIndexAnnotation])
	if err != nil {
		return -1
	}
	return index
}

// finishPodAt ends the Pod with the index, or any Pod of a Job without indexes.
func (jt *jobTest) finishPodAt(index, code int) *corev1.Pod {
	jt.t.Helper()
	pods := jt.podsMatching(func(pod *corev1.Pod) bool {
		_, held := pod.Annotations[framework.HoldAnnotation]
		return isRunning(pod) && held && (jt.combination.mode != indexed || completionIndex(pod) == index)
	})
	if len(pods) == 0 {
		jt.t.Fatalf("%s has no held Pod with index %d", jt.name, index)
	}
	slices.SortFunc(pods, func(x, y *corev1.Pod) int { return completionIndex(x) - completionIndex(y) })
	jt.finishPod(pods[0], code)
	return pods[0]
}

// finishPod lets the fake kubelet end a Pod that it holds. The Pod may be gone already.
func (jt *jobTest) finishPod(pod *corev1.Pod, code int) {
	jt.t.Helper()
	patch := fmt.Sprintf(`{"metadata": {"annotations": {%q: "%d", %q: null}}}`, framework.ExitCodeAnnotation, code, framework.HoldAnnotation)
	jt.patchPod(pod, patch)
}

func (jt *jobTest) patchPod(pod *corev1.Pod, patch string, subresources ...string) {
	jt.t.Helper()
	_, err := jt.client.CoreV1().Pods(jt.namespace).Patch(jt.t.Context(), pod.Name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}, subresources...)
	if err != nil && !apierrors.IsNotFound(err) {
		jt.t.Fatalf("%s: %v", jt.name, err)
	}
}
