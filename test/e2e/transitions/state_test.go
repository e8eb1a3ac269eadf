// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package transitions

import (
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/test/framework"
)

const (
	ignoredCode = 7
	failJobCode = 42
)

// newJob returns the Job of a combination before it reaches its state. The fake kubelet holds its Pods.
func newJob(name string, c combination) *batchv1.Job {
	labels := map[string]string{testJobLabel: name, "run": "a", "part": "b"}
	job := framework.NewJob(name, framework.Hold)
	job.Annotations["test.batchgate.io/combination"] = c.String()
	spec, template := &job.Spec, &job.Spec.Template
	spec.Parallelism, spec.Completions, spec.BackoffLimit = i32(2), i32(4), i32(6)
	spec.Suspend = ptr.To(c.state == suspended)
	template.Labels = labels
	switch c.mode {
	case workQueue:
		spec.Completions = nil
	case indexed:
		spec.CompletionMode = ptr.To(batchv1.IndexedCompletion)
	}
	fails := c.state == failureTarget || c.state == failed
	switch c.feature {
	case manualSelector:
		spec.ManualSelector = ptr.To(true)
		spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{testJobLabel: name, "run": "a"}}
		labels[batchv1.JobNameLabel] = name
	case successPolicy:
		spec.SuccessPolicy = &batchv1.SuccessPolicy{Rules: []batchv1.SuccessPolicyRule{{SucceededIndexes: ptr.To("0-1")}}}
	case backoffLimitPerIndex:
		spec.BackoffLimitPerIndex = i32(0)
	case maxFailedIndexes:
		spec.BackoffLimitPerIndex, spec.MaxFailedIndexes = i32(0), i32(2)
		if fails {
			spec.MaxFailedIndexes = i32(0)
		}
	case podFailurePolicy:
		rule := func(action batchv1.PodFailurePolicyAction, code int32) batchv1.PodFailurePolicyRule {
			return batchv1.PodFailurePolicyRule{Action: action, OnExitCodes: &batchv1.PodFailurePolicyOnExitCodesRequirement{
				Operator: batchv1.PodFailurePolicyOnExitCodesOpIn, Values: []int32{code}}}
		}
		spec.PodFailurePolicy = &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{
			rule(batchv1.PodFailurePolicyActionIgnore, ignoredCode), rule(batchv1.PodFailurePolicyActionFailJob, failJobCode)}}
	case podReplacementPolicy:
		spec.PodReplacementPolicy = ptr.To(batchv1.Failed)
	case managedBy:
		spec.ManagedBy = ptr.To("example.com/other")
	}
	if c.state == idle {
		spec.Parallelism = i32(0)
	}
	if fails && c.feature != podFailurePolicy && c.feature != maxFailedIndexes {
		spec.BackoffLimit = i32(0)
	}
	if slices.Contains([]state{scaledDown, podDeleted, criteriaMet, failureTarget, deleted}, c.state) {
		template.Finalizers = []string{holdFinalizer}
	}
	return job
}

// reachState brings the Job into the state of its combination.
func (jt *jobTest) reachState() {
	jt.t.Helper()
	before := modelOf(jt.combination)
	switch jt.combination.state {
	case suspended:
		jt.awaitCondition("Suspended")
		return
	case idle:
		jt.awaitStatus("have a start time", func(status *batchv1.JobStatus) bool { return status.StartTime != nil })
		return
	}
	jt.awaitRunning(2)
	switch jt.combination.state {
	case partlySucceeded, suspendedSucceeded:
		jt.succeedPods(before)
	case oneFailed, suspendedFailed:
		jt.failPod(before)
	case scaledDown:
		jt.must(jt.patchJob(`{"spec": {"parallelism": 1}}`))
		jt.awaitRunning(1)
		jt.awaitTerminating(1)
	case podDeleted:
		jt.deletePod()
	case criteriaMet, complete:
		jt.reachSuccess()
	case failureTarget, failed:
		code := 1
		if jt.combination.feature == podFailurePolicy {
			code = failJobCode
		}
		jt.finishPodAt(0, code)
		jt.awaitCondition(jt.combination.state.outcomeCondition())
	case deleted:
		foreground := metav1.DeletePropagationForeground
		jt.must(jt.client.BatchV1().Jobs(jt.namespace).Delete(jt.t.Context(), jt.name, metav1.DeleteOptions{PropagationPolicy: &foreground}))
		jt.awaitTerminating(2)
	}
	if jt.combination.state.isSuspended() {
		jt.must(jt.patchJob(`{"spec": {"suspend": true}}`))
		jt.awaitStatus("be suspended", func(status *batchv1.JobStatus) bool {
			return hasCondition(status, "Suspended") && (suspendedKeepStartTime || status.StartTime == nil)
		})
		jt.awaitRunning(0)
	}
}

// awaitTerminating waits until count Pods are terminating.
func (jt *jobTest) awaitTerminating(count int) {
	jt.t.Helper()
	jt.eventually("have terminating Pods", func() error {
		if got := len(jt.podsMatching(isTerminating)); got != count {
			return fmt.Errorf("%d Pods are terminating, want %d", got, count)
		}
		return nil
	})
}

// succeedPods ends Pods successfully and waits until they are counted and the next Pods run.
func (jt *jobTest) succeedPods(before model) {
	jt.t.Helper()
	for _, index := range before.succeeded {
		if pod := jt.finishPodAt(index, 0); len(before.succeeded) > 1 {
			jt.eventually("have the Pod end", func() error {
				if slices.ContainsFunc(jt.podsMatching(isRunning), func(other *corev1.Pod) bool { return other.UID == pod.UID }) {
					return fmt.Errorf("the Pod is running")
				}
				return nil
			})
		}
	}
	jt.awaitStatus("count the succeeded Pods", func(status *batchv1.JobStatus) bool { return int(status.Succeeded) == len(before.succeeded) })
	jt.awaitRunning(before.running)
}

// failPod ends a Pod with an error and waits until it is counted.
func (jt *jobTest) failPod(before model) {
	jt.t.Helper()
	code := 1
	if jt.combination.feature == podFailurePolicy {
		code = ignoredCode
	}
	pod := jt.finishPodAt(0, code)
	jt.eventually("have the tracking finalizer removed", func() error {
		if slices.ContainsFunc(jt.podsMatching(hasTrackingFinalizer), func(other *corev1.Pod) bool { return other.UID == pod.UID }) {
			return fmt.Errorf("the Pod has it")
		}
		return nil
	})
	jt.awaitStatus("count the failure", func(status *batchv1.JobStatus) bool {
		return int(status.Failed) == before.failures && (!jt.combination.hasPerIndexBackoff() || ptr.Deref(status.FailedIndexes, "") == formatIndexes(before.failedIndexes))
	})
}

// deletePod deletes a Pod, which holdFinalizer keeps. In an Indexed Job it is the Pod with index 1.
func (jt *jobTest) deletePod() {
	jt.t.Helper()
	pod := jt.podsMatching(func(pod *corev1.Pod) bool { return isRunning(pod) && completionIndex(pod) != 0 })[0]
	jt.must(jt.client.CoreV1().Pods(jt.namespace).Delete(jt.t.Context(), pod.Name, metav1.DeleteOptions{}))
	jt.awaitTerminating(1)
	jt.awaitStatus("count the deleted Pod", func(status *batchv1.JobStatus) bool {
		if jt.combination.replacesFailedOnly() {
			return ptr.Deref(status.Terminating, 0) == 1 && status.Active == 1
		}
		return status.Failed == 1
	})
}

// reachSuccess brings the Job to Complete or SuccessCriteriaMet.
func (jt *jobTest) reachSuccess() {
	jt.t.Helper()
	if jt.combination.feature == successPolicy {
		jt.finishPodAt(1, 0)
		jt.awaitStatus("count index 1", func(status *batchv1.JobStatus) bool { return status.CompletedIndexes == "1" })
		jt.awaitRunning(2)
		jt.finishPodAt(0, 0)
		jt.awaitCondition(jt.combination.state.outcomeCondition())
		return
	}
	if jt.combination.state == complete {
		jt.releasePods("Complete")
		return
	}
	before := model{succeeded: []int{0, 1}, running: 2}
	jt.succeedPods(before)
	jt.must(jt.patchJob(`{"spec": {"completions": 2}}`))
	jt.awaitCondition("SuccessCriteriaMet")
	jt.awaitTerminating(2)
}
