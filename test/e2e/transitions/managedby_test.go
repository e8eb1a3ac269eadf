// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package transitions

import (
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// writeExternalStatus writes the status of the Job's state, as an external controller would.
func (jt *jobTest) writeExternalStatus() {
	jt.t.Helper()
	before, now := modelOf(jt.combination), metav1.Now()
	if jt.combination.state.isSuspended() && jt.combination.state != suspended {
		jt.must(jt.patchJob(`{"spec": {"suspend": true}}`))
	}
	if jt.combination.state == criteriaMet {
		jt.must(jt.patchJob(`{"spec": {"completions": 2}}`))
	}
	job := jt.job()
	status := batchv1.JobStatus{Succeeded: int32(len(before.succeeded)), Failed: int32(before.failures)}
	if jt.combination.mode == indexed {
		status.CompletedIndexes = formatIndexes(before.succeeded)
	}
	condition := func(kind batchv1.JobConditionType) {
		status.Conditions = append(status.Conditions, batchv1.JobCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: now})
	}
	if jt.combination.state.isSuspended() {
		condition(batchv1.JobSuspended)
	}
	if !jt.combination.state.isSuspended() || suspendedKeepStartTime && jt.combination.state != suspended {
		status.StartTime = &now
	}
	switch jt.combination.state {
	case running, partlySucceeded, oneFailed:
		status.Active = 2
	case criteriaMet:
		condition(batchv1.JobSuccessCriteriaMet)
	case failureTarget:
		condition(batchv1.JobFailureTarget)
	case complete:
		condition(batchv1.JobSuccessCriteriaMet)
		condition(batchv1.JobComplete)
		status.CompletionTime = &now
	case failed:
		condition(batchv1.JobFailureTarget)
		condition(batchv1.JobFailed)
	}
	job.Status = status
	_, err := jt.client.BatchV1().Jobs(jt.namespace).UpdateStatus(jt.t.Context(), job, metav1.UpdateOptions{})
	jt.must(err)
}
