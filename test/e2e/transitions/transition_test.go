package transitions

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/batchgate/batchgate/test/framework"
)

func TestEveryTransitionEndsAsTheOracleSays(t *testing.T) {
	cluster := start(t)
	seen := follow(t, cluster.Client)
	homes := newHomes(t, cluster.Client, seen)
	groups := selected()
	benches := make([]*bench, len(groups))
	t.Run("cells", func(t *testing.T) {
		for i, group := range groups {
			t.Run(group.cell.String(), func(t *testing.T) {
				t.Parallel()
				home := homes.of(t, group.cell)
				b := &bench{t: t, client: cluster.Client, seen: seen, cell: group.cell, namespace: home.namespace, name: group.name}
				b.transit(group.refused, home)
				benches[i] = b
			})
		}
	})
	homes.undisturbed(t)
	for _, b := range benches {
		if b != nil && b.audit != nil {
			b.t = t
			b.audit()
		}
	}
	checkLog(t, cluster.ControllerManager.LogFile())
}

// transit brings the Job into its state, tries what must be refused, makes the change of the
// cell, and sees the Job to its end.
func (b *bench) transit(refused []*change, home *home) {
	b.t.Helper()
	_, err := b.client.BatchV1().Jobs(b.namespace).Create(b.t.Context(), newJob(b.name, b.cell), metav1.CreateOptions{})
	b.must(err)
	if b.cell.feature == managedBy {
		b.pretend()
	} else {
		b.prepare()
	}
	for _, ch := range refused {
		b.refuse(ch, home)
	}
	was, before := b.job(), b.pods(unfinished)
	b.must(b.patch(b.cell.change.patchOf(was, home.neighbour)))
	is := b.job()
	b.eventually("see the change", func() error {
		if job := b.seen.job(b.namespace, b.name); job == nil || job.Generation < is.Generation {
			return fmt.Errorf("not yet")
		}
		return nil
	})
	after := b.cell.change.apply(factsIn(b.cell)).kept(b.cell.mode)
	if !equal(is.Spec.Completions, after.completions) || *is.Spec.Parallelism != after.parallelism {
		b.t.Errorf("%s: the spec is %+v, want %+v", b.name, is.Spec, after)
	}
	if b.cell.feature == managedBy {
		b.settle()
		b.audit = func() { b.checkStored(was) }
		b.audit()
		return
	}
	b.finish(after, before)
}

// refuse makes a change that must be refused, and nothing of it stored.
func (b *bench) refuse(ch *change, home *home) {
	b.t.Helper()
	was := b.job()
	refusedCell := b.cell
	refusedCell.change = ch
	message, _ := refusal(refusedCell)
	err := b.patch(ch.patchOf(was, home.neighbour))
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), message) {
		b.t.Errorf("%s: the answer to %s is %v, want a refusal that says %q", b.name, refusedCell, err, message)
	}
	if is := b.job(); is.Generation != was.Generation || is.UID != was.UID {
		b.t.Errorf("%s: %s was refused, and has changed the Job: %+v", b.name, refusedCell, is.Spec)
	}
}

// finish sees to it that the Job can end, and checks how it does.
func (b *bench) finish(after facts, before []*corev1.Pod) {
	b.t.Helper()
	c := b.cell
	if c.state.decided() == "" && c.state != deleted && !c.state.isSuspended() {
		b.heldBack(after)
	}
	b.letGo()
	if c.state == deleted {
		b.audit = b.checkGone
		b.audit()
		return
	}
	zero := after.completions != nil && *after.completions == 0
	if c.state.isSuspended() && !zero {
		b.settle()
		if status := b.job().Status; has(&status, "FailureTarget") || has(&status, "SuccessCriteriaMet") {
			b.t.Errorf("%s (%s) was ended while it is suspended: %+v", b.name, c, status)
		}
		b.must(b.patch(`{"spec": {"suspend": false}}`))
	}
	if c.state.decided() == "" {
		if woken := after.woken(); woken.parallelism != after.parallelism {
			b.running(after.open())
			b.must(b.patch(`{"spec": {"parallelism": 2}}`))
			after = woken
		}
		b.running(after.open())
	}
	o := after.end(c)
	if c.change.kind == ofGeneratedSelector || c.change.kind == ofManualSelector {
		b.keeps(before)
	}
	b.release(o.condition)
	b.audit = func() { b.checkEnd(o) }
	b.audit()
}

// settle waits until the Job controller has dealt with a Job that was made later, so with the
// change of this one before.
func (b *bench) settle() {
	b.t.Helper()
	later := *b
	later.name += "-later"
	job := newJob(later.name, cell{nonIndexed, noFeature, running, unchanged})
	job.Spec.Completions = n(0)
	_, err := b.client.BatchV1().Jobs(b.namespace).Create(b.t.Context(), job, metav1.CreateOptions{})
	b.must(err)
	later.condition("Complete")
}

// heldBack checks how many Pods run while one terminates, and is held: with the policy to
// replace failed Pods only, the one that is missing is not made.
func (b *bench) heldBack(after facts) {
	b.t.Helper()
	want := after.open()
	if (b.cell.state == scaledDown || b.cell.state == podDeleted) && b.cell.replacesFailedOnly() {
		if b.cell.mode == indexed && *after.completions < 2 {
			return // it depends on which index terminates
		}
		want = min(want, max(1, want-1))
	}
	b.running(want)
}

// letGo lets Pods go that are held while they terminate, as a kubelet does: they fail first.
func (b *bench) letGo() {
	b.t.Helper()
	b.eventually("let Pods go", func() error {
		held := b.pods(func(pod *corev1.Pod) bool { return terminates(pod) && slices.Contains(pod.Finalizers, holdFinalizer) })
		for _, pod := range held {
			if tracked(pod) && b.cell.replacesFailedOnly() && pod.Status.Phase == corev1.PodRunning {
				b.patchPod(pod, `{"status": {"phase": "Failed"}}`, "status")
			}
			b.patchPod(pod, fmt.Sprintf(`{"metadata": {"$deleteFromPrimitiveList/finalizers": [%q]}}`, holdFinalizer))
		}
		if len(held) > 0 {
			return fmt.Errorf("there are %d", len(held))
		}
		return nil
	})
}

// release lets Pods succeed until the Job has the condition. Where a successPolicy waits for
// the first two indexes, the others run on, unless they keep those from running.
func (b *bench) release(condition string) {
	b.t.Helper()
	b.status("be "+condition, func(status *batchStatus) bool {
		if has(status, condition) {
			return true
		}
		ready := b.pods(func(pod *corev1.Pod) bool {
			_, held := pod.Annotations[framework.HoldAnnotation]
			return runs(pod) && held
		})
		if b.cell.feature == successPolicy {
			first := func(pod *corev1.Pod) bool { return indexOf(pod) < 2 }
			if slices.ContainsFunc(b.pods(unfinished), first) {
				ready = slices.DeleteFunc(ready, func(pod *corev1.Pod) bool { return !first(pod) })
			}
		}
		for _, pod := range ready {
			b.end(pod, 0)
		}
		b.letGo()
		return false
	})
}

// keeps checks that no Pod was given up or replaced: what ran before still does.
func (b *bench) keeps(before []*corev1.Pod) {
	b.t.Helper()
	is := map[types.UID]bool{}
	for _, pod := range b.pods(runs) {
		is[pod.UID] = true
	}
	for _, pod := range before {
		if !is[pod.UID] && !b.cell.state.isSuspended() {
			b.t.Errorf("%s: the Pod %s runs no more since the selector was changed", b.name, pod.Name)
		}
	}
}
