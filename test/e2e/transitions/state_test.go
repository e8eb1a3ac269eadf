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

// newJob returns the Job of a cell before it is brought into its state. Its Pods are held.
func newJob(name string, c cell) *batchv1.Job {
	labels := map[string]string{cellLabel: name, "run": "a", "part": "b"}
	job := framework.NewJob(name, framework.Hold)
	job.Annotations["test.batchgate.io/cell"] = c.String()
	spec, template := &job.Spec, &job.Spec.Template
	spec.Parallelism, spec.Completions, spec.BackoffLimit = n(2), n(4), n(6)
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
		spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{cellLabel: name, "run": "a"}}
		labels[batchv1.JobNameLabel] = name
	case successPolicy:
		spec.SuccessPolicy = &batchv1.SuccessPolicy{Rules: []batchv1.SuccessPolicyRule{{SucceededIndexes: ptr.To("0-1")}}}
	case backoffLimitPerIndex:
		spec.BackoffLimitPerIndex = n(0)
	case maxFailedIndexes:
		spec.BackoffLimitPerIndex, spec.MaxFailedIndexes = n(0), n(2)
		if fails {
			spec.MaxFailedIndexes = n(0)
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
		spec.Parallelism = n(0)
	}
	if fails && c.feature != podFailurePolicy && c.feature != maxFailedIndexes {
		spec.BackoffLimit = n(0)
	}
	if slices.Contains([]state{scaledDown, podDeleted, criteriaMet, failureTarget, deleted}, c.state) {
		template.Finalizers = []string{holdFinalizer}
	}
	return job
}

// prepare brings the Job into the state of its cell.
func (b *bench) prepare() {
	b.t.Helper()
	before := factsIn(b.cell)
	switch b.cell.state {
	case suspended:
		b.condition("Suspended")
		return
	case idle:
		b.status("have a start time", func(status *batchv1.JobStatus) bool { return status.StartTime != nil })
		return
	}
	b.running(2)
	switch b.cell.state {
	case partlySucceeded, suspendedSucceeded:
		b.succeed(before)
	case oneFailed, suspendedFailed:
		b.fail(before)
	case scaledDown:
		b.must(b.patch(`{"spec": {"parallelism": 1}}`))
		b.running(1)
		b.terminating(1)
	case podDeleted:
		b.deletePod()
	case criteriaMet, complete:
		b.succeedFully()
	case failureTarget, failed:
		code := 1
		if b.cell.feature == podFailurePolicy {
			code = failJobCode
		}
		b.endPod(0, code)
		b.condition(b.cell.state.decided())
	case deleted:
		foreground := metav1.DeletePropagationForeground
		b.must(b.client.BatchV1().Jobs(b.namespace).Delete(b.t.Context(), b.name, metav1.DeleteOptions{PropagationPolicy: &foreground}))
		b.terminating(2)
	}
	if b.cell.state.isSuspended() {
		b.must(b.patch(`{"spec": {"suspend": true}}`))
		b.status("be suspended", func(status *batchv1.JobStatus) bool { return has(status, "Suspended") && status.StartTime == nil })
		b.running(0)
	}
}

// terminating waits until so many Pods are held while they terminate.
func (b *bench) terminating(count int) {
	b.t.Helper()
	b.eventually("see Pods terminate", func() error {
		if got := len(b.pods(terminates)); got != count {
			return fmt.Errorf("%d do", got)
		}
		return nil
	})
}

// succeed lets Pods succeed, and waits until they are counted and others run.
func (b *bench) succeed(before facts) {
	b.t.Helper()
	for _, index := range before.succeeded {
		if pod := b.endPod(index, 0); len(before.succeeded) > 1 {
			b.eventually("see the Pod end", func() error {
				if slices.ContainsFunc(b.pods(runs), func(other *corev1.Pod) bool { return other.UID == pod.UID }) {
					return fmt.Errorf("it runs")
				}
				return nil
			})
		}
	}
	b.status("count what has succeeded", func(status *batchv1.JobStatus) bool { return int(status.Succeeded) == len(before.succeeded) })
	b.running(before.running)
}

// fail lets a Pod fail, and waits until that is counted.
func (b *bench) fail(before facts) {
	b.t.Helper()
	code := 1
	if b.cell.feature == podFailurePolicy {
		code = ignoredCode
	}
	pod := b.endPod(0, code)
	b.eventually("see the Pod dealt with", func() error {
		if slices.ContainsFunc(b.pods(tracked), func(other *corev1.Pod) bool { return other.UID == pod.UID }) {
			return fmt.Errorf("it is not")
		}
		return nil
	})
	b.status("count the failure", func(status *batchv1.JobStatus) bool {
		return int(status.Failed) == before.failures && (!b.cell.perIndex() || ptr.Deref(status.FailedIndexes, "") == intervals(before.failedIndexes))
	})
}

// deletePod deletes a Pod, of index 1 if there are any. It is held.
func (b *bench) deletePod() {
	b.t.Helper()
	pod := b.pods(func(pod *corev1.Pod) bool { return runs(pod) && indexOf(pod) != 0 })[0]
	b.must(b.client.CoreV1().Pods(b.namespace).Delete(b.t.Context(), pod.Name, metav1.DeleteOptions{}))
	b.terminating(1)
	b.status("count it", func(status *batchv1.JobStatus) bool {
		if b.cell.replacesFailedOnly() {
			return ptr.Deref(status.Terminating, 0) == 1 && status.Active == 1
		}
		return status.Failed == 1
	})
}

// succeedFully lets the Job succeed, or only as far that its success is decided.
func (b *bench) succeedFully() {
	b.t.Helper()
	if b.cell.feature == successPolicy {
		b.endPod(1, 0)
		b.status("count index 1", func(status *batchv1.JobStatus) bool { return status.CompletedIndexes == "1" })
		b.running(2)
		b.endPod(0, 0)
		b.condition(b.cell.state.decided())
		return
	}
	if b.cell.state == complete {
		b.release("Complete")
		return
	}
	before := facts{succeeded: []int{0, 1}, running: 2}
	b.succeed(before)
	b.must(b.patch(`{"spec": {"completions": 2}}`))
	b.condition("SuccessCriteriaMet")
	b.terminating(2)
}
