// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package outage

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/batchgate/batchgate/test/e2e/internal/session"
)

// checkGated returns nil if the gate allows a label and denies an annotation.
func checkGated(s session.Session) error {
	if _, _, err := s.Try("label", "--overwrite", "job", "pi", "by=test"); err != nil {
		return err
	}
	if err := s.Annotate("test"); err == nil || !strings.Contains(err.Error(), session.DeniedMessage) {
		return fmt.Errorf("annotation: got error %v, want denied", err)
	}
	return nil
}

// check503 returns nil if kube-apiserver returns 503 for every kind of request for Jobs.
func check503(s session.Session) error {
	s.T.Helper()
	jobs := cluster.Client.BatchV1().Jobs(s.Namespace)
	_, getErr := jobs.Get(s.T.Context(), "pi", metav1.GetOptions{})
	_, patchErr := jobs.Patch(s.T.Context(), "pi", types.MergePatchType, []byte(`{"spec": {"parallelism": 2}}`), metav1.PatchOptions{})
	_, statusErr := jobs.Patch(s.T.Context(), "pi", types.MergePatchType, []byte(`{"status": {"active": 2}}`), metav1.PatchOptions{}, "status")
	_, createErr := jobs.Create(s.T.Context(), session.NewJob("other"), metav1.CreateOptions{})
	for request, err := range map[string]error{"get": getErr, "patch": patchErr, "patch of the status": statusErr, "create": createErr} {
		if code := session.StatusCode(err); code != http.StatusServiceUnavailable || !apierrors.IsServiceUnavailable(err) {
			return fmt.Errorf("%s: got status %d: %w", request, code, err)
		}
	}
	return nil
}

// waitUnavailable waits until kube-apiserver reports v1.batch as unavailable.
func waitUnavailable(s session.Session) {
	s.T.Helper()
	s.Run("wait", "apiservice", "v1.batch", "--for=condition=Available=False", "--timeout=110s")
}

func TestTakeoverSurvivesKubeAPIServerRestart(t *testing.T) {
	s := session.Disrupt(t, cluster)
	s.CreateJob(session.NewJob("pi"))
	s.WaitRunning("pi", 1)
	if err := cluster.APIServer.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := cluster.BatchgateReady(t.Context()); err != nil {
		t.Logf("Batchgate is not ready without kube-apiserver: %v", err)
	}
	if err := cluster.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Eventually("have updates gated again", func() error { return checkGated(s) })
	s.FinishJob("pi", batchv1.JobComplete)
}

func TestBatchgateWaitsForKubeAPIServer(t *testing.T) {
	s := session.Disrupt(t, cluster)
	s.CreateJob(session.NewJob("pi"))
	if err := errors.Join(cluster.APIServer.Stop(), cluster.Batchgate.Stop()); err != nil {
		t.Fatal(err)
	}
	if err := cluster.Batchgate.Start(); err != nil {
		t.Fatal(err)
	}
	s.Eventually("see Batchgate listen without kube-apiserver", func() error {
		err := cluster.BatchgateReady(t.Context())
		if err == nil {
			t.Fatal("Batchgate is ready before it read the cluster's admission configuration")
		}
		if !apierrors.IsInternalError(err) {
			return err // Batchgate does not listen yet
		}
		return nil
	})
	if err := cluster.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Eventually("have updates gated again", func() error { return checkGated(s) })
	if !cluster.Batchgate.Running() {
		t.Error("Batchgate exited")
	}
}

func TestKilledBatchgateReturns503AndRecovers(t *testing.T) {
	s := session.Disrupt(t, cluster)
	s.CreateJob(session.NewJob("pi"))
	s.WaitRunning("pi", 1)
	stored := s.Job("pi")
	if err := cluster.Batchgate.Kill(); err != nil {
		t.Fatal(err)
	}
	session.ExpectNativeOpenAPI(t, cluster)
	s.ExpectError([]string{"get", "job", "pi"}) // the error depends on whether kube-apiserver noticed
	waitUnavailable(s)
	s.ExpectError([]string{"patch", "job", "pi", "--type=merge", `--patch={"spec": {"parallelism": 2}}`}, "unable to handle the request")
	if err := check503(s); err != nil {
		t.Error(err)
	}
	// Other resources are not affected.
	s.Run("get", "pods", "--output=name")

	if err := cluster.APIServer.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := cluster.APIServer.Start(); err != nil {
		t.Fatal(err)
	}
	s.Eventually("see kube-apiserver wait for v1.batch", func() error {
		err := cluster.APIServerReady(t.Context())
		if err == nil {
			t.Fatal("kube-apiserver is ready without v1.batch")
		}
		if !strings.Contains(err.Error(), "autoregister-completion") {
			return err
		}
		return nil
	})
	if err := cluster.StartBatchgate(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Eventually("see kube-apiserver ready", func() error { return cluster.APIServerReady(t.Context()) })
	s.Eventually("have updates gated again", func() error { return checkGated(s) })
	if after := s.Job("pi"); after.UID != stored.UID {
		t.Errorf("the Job was replaced (-before +after):\n%s", cmp.Diff(stored, after))
	}
	s.FinishJob("pi", batchv1.JobComplete)
}

func TestRollbackWorksWithBatchgateDown(t *testing.T) {
	s := session.Disrupt(t, cluster)
	s.CreateJob(session.NewJob("pi"))
	s.WaitRunning("pi", 1)
	if err := cluster.Batchgate.Kill(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	session.RollBack(t, cluster)
	s.Eventually("have Jobs served by kube-apiserver", func() error { return s.Annotate("native") })
	t.Logf("rollback took %s", time.Since(began))
	s.FinishJob("pi", batchv1.JobComplete)
}

// A namespace that is deleted during an outage terminates once its Jobs can be deleted.
func TestNamespaceDeletionResumesAfterOutage(t *testing.T) {
	s := session.Disrupt(t, cluster)
	s.CreateJob(session.NewJob("pi"))
	if err := cluster.Batchgate.Kill(); err != nil {
		t.Fatal(err)
	}
	s.Run("delete", "namespace", s.Namespace, "--wait=false")
	s.Eventually("see in its conditions why the namespace still exists", func() error {
		text := s.Run("get", "namespace", s.Namespace, "--output=yaml")
		if strings.Contains(text, "reason: DiscoveryFailed") || strings.Contains(text, "reason: ContentDeletionFailed") {
			return nil
		}
		return fmt.Errorf("namespace is\n%s", text)
	})
	if err := cluster.StartBatchgate(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Run("wait", "namespace", s.Namespace, "--for=delete", "--timeout=115s")
}

// After rollback by patch, kube-apiserver still fetches discovery of batch/v1 from Batchgate, until the
// APIService is recreated. If Batchgate is down during that time, clients without a discovery cache find no
// Jobs.
func TestRollbackByPatchLeavesStaleDiscovery(t *testing.T) {
	s := session.Disrupt(t, cluster)
	session.RollBack(t, cluster)
	s.WaitNative()
	before := s.APIService()
	if err := cluster.Batchgate.Kill(); err != nil {
		t.Fatal(err)
	}
	stale := "kube-apiserver still reads the discovery of Batchgate: run kubectl batchgate rollback"
	s.Eventually("have Jobs missing in discovery", func() error {
		_, _, err := s.WithoutDiscoveryCache().Try("get", "job", "pi")
		if err == nil || !strings.Contains(err.Error(), "doesn't have a resource type") {
			return fmt.Errorf("got kubectl error: %w", err)
		}
		return nil
	})
	s.ExpectPlugin(1, []string{"status"}, stale)
	s.Run("delete", "apiservice", "v1.batch")
	s.Eventually("have Jobs in discovery again", func() error {
		_, _, err := s.WithoutDiscoveryCache().Try("get", "job", "pi")
		return err
	})
	s.Run("create", "--filename=artifacts/apiservice/rollback/apiservice.yaml")
	s.Eventually("have the APIService restored", func() error {
		if got := s.APIService(); got != before {
			return fmt.Errorf("APIService is %s", got)
		}
		return nil
	})
	s.WithoutDiscoveryCache().Run("get", "job", "pi")
	s.ExpectPlugin(0, []string{"status"}, "served by kube-apiserver")
}
