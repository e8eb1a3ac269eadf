package core

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// gone returns nil if the Job and, where pods is true, its Pods are no more.
func (s session) gone(job string, pods bool) error {
	_, err := cluster.Client.BatchV1().Jobs(s.namespace).Get(s.t.Context(), job, metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		return errors.Join(err, errors.New("the Job is still there"))
	}
	if left := s.allPods(job); pods && len(left) > 0 {
		return fmt.Errorf("%d Pods are still there", len(left))
	}
	return nil
}

func TestForegroundDeletionIsFinishedByTheGarbageCollectorAlone(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.create(newJob("pi"))
	s.waitRunning("pi", 1)
	pod := s.pods("pi")[0].Name
	// The Pod stays until its finalizer is removed, and the Job waits for the Pod.
	s.run("patch", "pod", pod, "--type=json", `--patch=[{"op": "add", "path": "/metadata/finalizers/-", "value": "test.batchgate.io/keep"}]`)
	s.run("delete", "job", "pi", "--cascade=foreground", "--wait=false")
	if finalizers := s.field("pi", ".metadata.finalizers"); finalizers != `["foregroundDeletion"]` {
		t.Fatalf("the finalizers are %s", finalizers)
	}
	s.refused([]string{"patch", "job", "pi", "--type=merge", `--patch={"metadata": {"finalizers": null}}`},
		`metadata.finalizers["foregroundDeletion"]`, refusal)
	s.refused([]string{"patch", "job", "pi", "--subresource=status", "--type=merge", `--patch={"metadata": {"finalizers": null}}`},
		`metadata.finalizers["foregroundDeletion"]`)
	s.eventually("let the Pod go", func() error {
		_, _, err := s.try("patch", "pod", pod, "--type=merge", `--patch={"metadata": {"finalizers": null}}`)
		if err != nil && !strings.Contains(err.Error(), "NotFound") {
			return err
		}
		return s.gone("pi", true)
	})
}

func TestBackgroundDeletionRemovesThePodsToo(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.create(newJob("pi"))
	s.waitRunning("pi", 1)
	s.run("delete", "job", "pi", "--cascade=background")
	s.eventually("be removed", func() error { return s.gone("pi", true) })
}

func TestOrphanDeletionKeepsThePods(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.create(newJob("pi"))
	s.waitRunning("pi", 1)
	s.run("delete", "job", "pi", "--cascade=orphan")
	s.eventually("be removed", func() error { return s.gone("pi", false) })
	s.eventually("leave an orphan", func() error {
		pods := s.pods("pi")
		if len(pods) != 1 {
			return fmt.Errorf("there are %d Pods", len(pods))
		}
		if owners := pods[0].OwnerReferences; len(owners) > 0 {
			return fmt.Errorf("the Pod is still owned: %v", owners)
		}
		return nil
	})
}

// A Job that is owned is orphaned by a change of its own owner references, which only the
// garbage collector may make.
func TestOwnedJobIsOrphanedWithItsCronJob(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.run("create", "cronjob", "tick", "--image=example.com/work:1", "--schedule=0 0 1 1 *")
	s.run("create", "job", "pi", "--from=cronjob/tick")
	s.refused([]string{"patch", "job", "pi", "--type=merge", `--patch={"metadata": {"ownerReferences": null}}`},
		"metadata.ownerReferences[uid=", refusal)
	s.run("delete", "cronjob", "tick", "--cascade=orphan")
	s.eventually("be orphaned", func() error {
		if owners := s.job("pi").OwnerReferences; len(owners) > 0 {
			return fmt.Errorf("the Job is still owned: %v", owners)
		}
		return nil
	})
}

func TestOwnedJobIsRemovedWithItsCronJob(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.run("create", "cronjob", "tick", "--image=example.com/work:1", "--schedule=0 0 1 1 *")
	s.run("create", "job", "pi", "--from=cronjob/tick")
	s.run("delete", "cronjob", "tick", "--cascade=foreground")
	s.eventually("be removed", func() error { return s.gone("pi", true) })
}

func TestNamespaceIsDeletedWithItsJobs(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.create(newJob("pi"))
	s.run("create", "cronjob", "tick", "--image=example.com/work:1", "--schedule=0 0 1 1 *")
	s.waitRunning("pi", 1)
	s.run("delete", "namespace", s.namespace, "--timeout=110s")
	if _, err := cluster.Client.CoreV1().Namespaces().Get(t.Context(), s.namespace, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("getting the deleted namespace: %v", err)
	}
	s.refused([]string{"create", "job", "pi", "--image=example.com/work:1"}, "namespaces", "not found")
}

func TestNothingIsCreatedInATerminatingNamespace(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.create(newJob("pi"))
	s.waitRunning("pi", 1)
	pod := s.pods("pi")[0].Name
	s.run("patch", "pod", pod, "--type=json", `--patch=[{"op": "add", "path": "/metadata/finalizers/-", "value": "test.batchgate.io/keep"}]`)
	s.run("delete", "namespace", s.namespace, "--wait=false")
	s.eventually("be terminating", func() error {
		ns, err := cluster.Client.CoreV1().Namespaces().Get(t.Context(), s.namespace, metav1.GetOptions{})
		if err == nil && ns.Status.Phase != corev1.NamespaceTerminating {
			return fmt.Errorf("the namespace is %s", ns.Status.Phase)
		}
		return err
	})
	s.refused([]string{"create", "job", "late", "--image=example.com/work:1"}, "is being terminated")
	s.run("patch", "pod", pod, "--type=merge", `--patch={"metadata": {"finalizers": null}}`)
}
