package transitions

import (
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// pretend writes the status of the state, as an external controller would.
func (b *bench) pretend() {
	b.t.Helper()
	before, now := factsIn(b.cell), metav1.Now()
	if b.cell.state.isSuspended() && b.cell.state != suspended {
		b.must(b.patch(`{"spec": {"suspend": true}}`))
	}
	if b.cell.state == criteriaMet {
		b.must(b.patch(`{"spec": {"completions": 2}}`))
	}
	job := b.job()
	status := batchv1.JobStatus{Succeeded: int32(len(before.succeeded)), Failed: int32(before.failures)}
	if b.cell.mode == indexed {
		status.CompletedIndexes = intervals(before.succeeded)
	}
	condition := func(kind batchv1.JobConditionType) {
		status.Conditions = append(status.Conditions, batchv1.JobCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: now})
	}
	if b.cell.state.isSuspended() {
		condition(batchv1.JobSuspended)
	} else {
		status.StartTime = &now
	}
	switch b.cell.state {
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
	_, err := b.client.BatchV1().Jobs(b.namespace).UpdateStatus(b.t.Context(), job, metav1.UpdateOptions{})
	b.must(err)
}
