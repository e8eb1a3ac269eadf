// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package transitions

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/test/framework"
)

func TestTransitionsMatchModel(t *testing.T) {
	cluster := startCluster(t)
	cache := startInformers(t, cluster.Client)
	namespaces := newTestNamespaces(t, cluster.Client, cache)
	testJobs := selectTestJobs()
	tests := make([]*jobTest, len(testJobs))
	t.Run("combinations", func(t *testing.T) {
		for i, tj := range testJobs {
			t.Run(tj.combination.String(), func(t *testing.T) {
				t.Parallel()
				ns := namespaces.get(t, tj.combination)
				jt := &jobTest{t: t, client: cluster.Client, cache: cache, combination: tj.combination, namespace: ns.namespace, name: tj.name}
				jt.run(tj.rejected, ns)
				tests[i] = jt
			})
		}
	})
	namespaces.checkUndisturbed(t)
	for _, jt := range tests {
		if jt != nil && jt.recheck != nil {
			jt.t = t
			jt.recheck()
		}
	}
	checkLog(t, cluster.ControllerManager.LogFile())
}

// run brings the Job into its state, tries the rejected changes, applies the change, and
// checks how the Job ends.
func (jt *jobTest) run(rejected []*change, ns *testNamespace) {
	jt.t.Helper()
	_, err := jt.client.BatchV1().Jobs(jt.namespace).Create(jt.t.Context(), newJob(jt.name, jt.combination), metav1.CreateOptions{})
	jt.must(err)
	if jt.combination.feature == managedBy {
		jt.writeExternalStatus()
	} else {
		jt.reachState()
	}
	for _, ch := range rejected {
		jt.checkRejected(ch, ns)
	}
	old, before := jt.job(), jt.podsMatching(isUnfinished)
	jt.must(jt.patchJob(jt.combination.change.patchBody(old, ns.neighbor)))
	updated := jt.job()
	jt.eventually("have the change in the cache", func() error {
		if job := jt.cache.job(jt.namespace, jt.name); job == nil || job.Generation < updated.Generation {
			return fmt.Errorf("it has an older generation")
		}
		return nil
	})
	after := jt.combination.change.apply(modelOf(jt.combination)).withoutDroppedIndexes(jt.combination.mode)
	if !ptr.Equal(updated.Spec.Completions, after.completions) || *updated.Spec.Parallelism != after.parallelism {
		jt.t.Errorf("%s: got spec %+v, want %+v", jt.name, updated.Spec, after)
	}
	if jt.combination.feature == managedBy {
		jt.awaitControllerSync()
		jt.recheck = func() { jt.checkUntouched(old) }
		jt.recheck()
		return
	}
	jt.checkEnd(after, before)
}

// checkRejected sends a change that the server must reject and not store.
func (jt *jobTest) checkRejected(ch *change, ns *testNamespace) {
	jt.t.Helper()
	old := jt.job()
	rejected := jt.combination
	rejected.change = ch
	message, _ := rejection(rejected)
	err := jt.patchJob(ch.patchBody(old, ns.neighbor))
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), message) {
		jt.t.Errorf("%s: %s: got error %v, want Invalid with %q", jt.name, rejected, err, message)
	}
	if updated := jt.job(); updated.Generation != old.Generation || updated.UID != old.UID {
		jt.t.Errorf("%s: %s was rejected but changed the Job: %+v", jt.name, rejected, updated.Spec)
	}
}

// checkEnd lets the Job end and checks its outcome.
func (jt *jobTest) checkEnd(after model, before []*corev1.Pod) {
	jt.t.Helper()
	c := jt.combination
	if c.state.outcomeCondition() == "" && c.state != deleted && !c.state.isSuspended() {
		jt.checkRunningWhileTerminating(after)
	}
	jt.releaseTerminatingPods()
	if c.state == deleted {
		jt.recheck = jt.checkDeleted
		jt.recheck()
		return
	}
	if c.state.isSuspended() {
		after.running = 0
	}
	if c.state.isSuspended() && !after.endsSuspended(c) {
		jt.awaitControllerSync()
		if status := jt.job().Status; hasCondition(&status, "FailureTarget") || hasCondition(&status, "SuccessCriteriaMet") {
			jt.t.Errorf("%s (%s) got an outcome while suspended: %+v", jt.name, c, status)
		}
		jt.must(jt.patchJob(`{"spec": {"suspend": false}}`))
	}
	if c.state.outcomeCondition() == "" {
		if unblocked := after.unblocked(); unblocked.parallelism != after.parallelism {
			jt.awaitRunning(after.expectedRunning())
			jt.must(jt.patchJob(`{"spec": {"parallelism": 2}}`))
			after = unblocked
		}
		jt.awaitRunning(after.expectedRunning())
	}
	o := after.outcome(c)
	if c.change.kind == changesGeneratedSelector || c.change.kind == changesManualSelector {
		jt.checkPodsKept(before)
	}
	jt.releasePods(o.condition)
	jt.recheck = func() { jt.checkOutcome(o) }
	jt.recheck()
}

// awaitControllerSync waits until the Job controller has completed a new Job. By then it has also synced
// earlier changes of this Job.
func (jt *jobTest) awaitControllerSync() {
	jt.t.Helper()
	later := *jt
	later.name += "-later"
	job := newJob(later.name, combination{nonIndexed, noFeature, running, noChange})
	job.Spec.Completions = i32(0)
	_, err := jt.client.BatchV1().Jobs(jt.namespace).Create(jt.t.Context(), job, metav1.CreateOptions{})
	jt.must(err)
	later.awaitCondition("Complete")
}

// checkRunningWhileTerminating checks the number of running Pods while a Pod terminates. If the Job
// replaces failed Pods only, the terminating Pod has no replacement yet.
func (jt *jobTest) checkRunningWhileTerminating(after model) {
	jt.t.Helper()
	want := after.expectedRunning()
	if (jt.combination.state == scaledDown || jt.combination.state == podDeleted) && jt.combination.replacesFailedOnly() {
		if jt.combination.mode == indexed && *after.completions < 2 {
			return // depends on the terminating index
		}
		want = min(want, max(1, want-1))
	}
	jt.awaitRunning(want)
}

// releaseTerminatingPods ends terminating Pods as a kubelet does: they fail and then disappear.
func (jt *jobTest) releaseTerminatingPods() {
	jt.t.Helper()
	jt.eventually("have no held Pods", func() error {
		held := jt.podsMatching(func(pod *corev1.Pod) bool {
			return isTerminating(pod) && slices.Contains(pod.Finalizers, holdFinalizer)
		})
		for _, pod := range held {
			if hasTrackingFinalizer(pod) && jt.combination.replacesFailedOnly() && pod.Status.Phase == corev1.PodRunning {
				jt.patchPod(pod, `{"status": {"phase": "Failed"}}`, "status")
			}
			jt.patchPod(pod, fmt.Sprintf(`{"metadata": {"$deleteFromPrimitiveList/finalizers": [%q]}}`, holdFinalizer))
		}
		if len(held) > 0 {
			return fmt.Errorf("%d Pods are held", len(held))
		}
		return nil
	})
}

// releasePods lets Pods succeed until the Job has the condition. If a successPolicy waits for the first
// two indexes, other Pods keep running, unless they prevent these indexes from running.
func (jt *jobTest) releasePods(condition string) {
	jt.t.Helper()
	jt.awaitStatus("be "+condition, func(status *batchv1.JobStatus) bool {
		if hasCondition(status, condition) {
			return true
		}
		ready := jt.podsMatching(func(pod *corev1.Pod) bool {
			_, held := pod.Annotations[framework.HoldAnnotation]
			return isRunning(pod) && held
		})
		if jt.combination.feature == successPolicy {
			first := func(pod *corev1.Pod) bool { return completionIndex(pod) < 2 }
			if slices.ContainsFunc(jt.podsMatching(isUnfinished), first) {
				ready = slices.DeleteFunc(ready, func(pod *corev1.Pod) bool { return !first(pod) })
			}
		}
		for _, pod := range ready {
			jt.finishPod(pod, 0)
		}
		jt.releaseTerminatingPods()
		return false
	})
}

// checkPodsKept checks that the Pods from before the change still run.
func (jt *jobTest) checkPodsKept(before []*corev1.Pod) {
	jt.t.Helper()
	running := map[types.UID]bool{}
	for _, pod := range jt.podsMatching(isRunning) {
		running[pod.UID] = true
	}
	for _, pod := range before {
		if !running[pod.UID] && !jt.combination.state.isSuspended() {
			jt.t.Errorf("%s: Pod %s no longer runs after the selector changed", jt.name, pod.Name)
		}
	}
}
