// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package core

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/test/e2e/internal/session"
)

func TestForegroundDeletionWaitsForPods(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	s.CreateJob(session.NewJob("pi"))
	s.WaitRunning("pi", 1)
	pod := s.Pods("pi")[0].Name
	// The finalizer keeps the Pod, and the Job waits for the Pod. Only the garbage collector may remove
	// the finalizer of the Job.
	s.Run("patch", "pod", pod, "--type=json", `--patch=[{"op": "add", "path": "/metadata/finalizers/-", "value": "test.batchgate.io/keep"}]`)
	s.Run("delete", "job", "pi", "--cascade=foreground", "--wait=false")
	if finalizers := s.JobField("pi", ".metadata.finalizers"); finalizers != `["foregroundDeletion"]` {
		t.Fatalf("finalizers are %s", finalizers)
	}
	s.ExpectError([]string{"patch", "job", "pi", "--type=merge", `--patch={"metadata": {"finalizers": null}}`},
		`metadata.finalizers["foregroundDeletion"]`, session.DeniedMessage)
	s.ExpectError([]string{"patch", "job", "pi", "--subresource=status", "--type=merge", `--patch={"metadata": {"finalizers": null}}`},
		`metadata.finalizers["foregroundDeletion"]`)
	s.Eventually("remove the Job after its Pod", func() error {
		_, _, err := s.Try("patch", "pod", pod, "--type=merge", `--patch={"metadata": {"finalizers": null}}`)
		if err != nil && !strings.Contains(err.Error(), "NotFound") {
			return err
		}
		return s.JobAndPodsGone("pi")
	})
}

func TestBackgroundDeletionRemovesPods(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	s.CreateJob(session.NewJob("pi"))
	s.WaitRunning("pi", 1)
	s.Run("delete", "job", "pi", "--cascade=background")
	s.Eventually("have the Job removed", func() error { return s.JobAndPodsGone("pi") })
}

func TestOrphanDeletionKeepsPods(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	s.CreateJob(session.NewJob("pi"))
	s.WaitRunning("pi", 1)
	s.Run("delete", "job", "pi", "--cascade=orphan")
	s.Eventually("have the Job removed", func() error { return s.JobGone("pi") })
	s.Eventually("have the Pod orphaned", func() error {
		pods := s.Pods("pi")
		if len(pods) != 1 {
			return fmt.Errorf("got %d Pods, want 1", len(pods))
		}
		if owners := pods[0].OwnerReferences; len(owners) > 0 {
			return fmt.Errorf("Pod still has owners: %v", owners)
		}
		return nil
	})
}

// Orphaning a Job removes its owner references, which only the garbage collector may do.
func TestCronJobOrphanDeletionKeepsJob(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	s.Run("create", "cronjob", "tick", "--image=example.com/work:1", "--schedule=0 0 1 1 *")
	s.Run("create", "job", "pi", "--from=cronjob/tick")
	s.ExpectError([]string{"patch", "job", "pi", "--type=merge", `--patch={"metadata": {"ownerReferences": null}}`},
		"metadata.ownerReferences[uid=", session.DeniedMessage)
	s.Run("delete", "cronjob", "tick", "--cascade=orphan")
	s.Eventually("have the Job orphaned", func() error {
		if owners := s.Job("pi").OwnerReferences; len(owners) > 0 {
			return fmt.Errorf("Job still has owners: %v", owners)
		}
		return nil
	})
}

func TestCronJobForegroundDeletionRemovesJob(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	s.Run("create", "cronjob", "tick", "--image=example.com/work:1", "--schedule=0 0 1 1 *")
	s.Run("create", "job", "pi", "--from=cronjob/tick")
	s.Run("delete", "cronjob", "tick", "--cascade=foreground")
	s.Eventually("have the Job removed", func() error { return s.JobAndPodsGone("pi") })
}

func TestNamespaceDeletionRemovesJobs(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	s.CreateJob(session.NewJob("pi"))
	s.Run("create", "cronjob", "tick", "--image=example.com/work:1", "--schedule=0 0 1 1 *")
	s.WaitRunning("pi", 1)
	s.Run("delete", "namespace", s.Namespace, "--timeout=110s")
	if _, err := cluster.Client.CoreV1().Namespaces().Get(t.Context(), s.Namespace, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("getting the deleted namespace: got error %v, want not found", err)
	}
	s.ExpectError([]string{"create", "job", "pi", "--image=example.com/work:1"}, "namespaces", "not found")
}

func TestTerminatingNamespaceRejectsJobs(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	s.CreateJob(session.NewJob("pi"))
	s.WaitRunning("pi", 1)
	pod := s.Pods("pi")[0].Name
	s.Run("patch", "pod", pod, "--type=json", `--patch=[{"op": "add", "path": "/metadata/finalizers/-", "value": "test.batchgate.io/keep"}]`)
	s.Run("delete", "namespace", s.Namespace, "--wait=false")
	s.Eventually("have the namespace terminating", func() error {
		ns, err := cluster.Client.CoreV1().Namespaces().Get(t.Context(), s.Namespace, metav1.GetOptions{})
		if err == nil && ns.Status.Phase != corev1.NamespaceTerminating {
			return fmt.Errorf("namespace is %s", ns.Status.Phase)
		}
		return err
	})
	s.ExpectError([]string{"create", "job", "late", "--image=example.com/work:1"}, "is being terminated")
	s.Run("patch", "pod", pod, "--type=merge", `--patch={"metadata": {"finalizers": null}}`)
}
