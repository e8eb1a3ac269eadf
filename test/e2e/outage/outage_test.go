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

// patchWorks patches the Job through the aggregator, with a gated answer.
func patchWorks(s session.Session) error {
	if _, _, err := s.Try("label", "--overwrite", "job", "pi", "by=test"); err != nil {
		return err
	}
	if err := s.Annotate("test"); err == nil || !strings.Contains(err.Error(), session.DeniedMessage) {
		return fmt.Errorf("not gated: %v", err)
	}
	return nil
}

// answersUnavailable returns nil if each request for a Job, as clients see it, is answered
// with 503.
func answersUnavailable(s session.Session) error {
	s.T.Helper()
	jobs := cluster.Client.BatchV1().Jobs(s.Namespace)
	_, getErr := jobs.Get(s.T.Context(), "pi", metav1.GetOptions{})
	_, patchErr := jobs.Patch(s.T.Context(), "pi", types.MergePatchType, []byte(`{"spec": {"parallelism": 2}}`), metav1.PatchOptions{})
	_, statusErr := jobs.Patch(s.T.Context(), "pi", types.MergePatchType, []byte(`{"status": {"active": 2}}`), metav1.PatchOptions{}, "status")
	_, createErr := jobs.Create(s.T.Context(), session.NewJob("other"), metav1.CreateOptions{})
	for request, err := range map[string]error{"get": getErr, "patch": patchErr, "patch of the status": statusErr, "create": createErr} {
		if code := session.StatusCode(err); code != http.StatusServiceUnavailable || !apierrors.IsServiceUnavailable(err) {
			return fmt.Errorf("a %s is answered with %d: %w", request, code, err)
		}
	}
	return nil
}

// unavailable waits until kube-apiserver has found out that nobody serves v1.batch.
func unavailable(s session.Session) {
	s.T.Helper()
	s.Run("wait", "apiservice", "v1.batch", "--for=condition=Available=False", "--timeout=110s")
}

func TestTakeoverSurvivesARestartOfKubeAPIServer(t *testing.T) {
	s := session.Disrupt(t, cluster)
	s.CreateJob(session.NewJob("pi"))
	s.WaitRunning("pi", 1)
	if err := cluster.APIServer.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := cluster.BatchgateReady(t.Context()); err != nil {
		t.Logf("without kube-apiserver Batchgate says it is not ready: %v", err)
	}
	if err := cluster.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Eventually("be patched again", func() error { return patchWorks(s) })
	s.FinishJob("pi", batchv1.JobComplete)
}

func TestBatchgateStartsAndWaitsWhileKubeAPIServerIsDown(t *testing.T) {
	s := session.Disrupt(t, cluster)
	s.CreateJob(session.NewJob("pi"))
	if err := errors.Join(cluster.APIServer.Stop(), cluster.Batchgate.Stop()); err != nil {
		t.Fatal(err)
	}
	if err := cluster.Batchgate.Start(); err != nil {
		t.Fatal(err)
	}
	s.Eventually("start without kube-apiserver", func() error {
		err := cluster.BatchgateReady(t.Context())
		if err == nil {
			t.Fatal("Batchgate is ready before it has seen the cluster's admission configuration")
		}
		if !apierrors.IsInternalError(err) {
			return err // it does not listen yet
		}
		return nil
	})
	if err := cluster.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Eventually("be patched again", func() error { return patchWorks(s) })
	if !cluster.Batchgate.Running() {
		t.Error("Batchgate has ended")
	}
}

func TestKilledBatchgateMeans503AndKubeAPIServerRestartedMeanwhileRecoversByItself(t *testing.T) {
	s := session.Disrupt(t, cluster)
	s.CreateJob(session.NewJob("pi"))
	s.WaitRunning("pi", 1)
	stored := s.Job("pi")
	if err := cluster.Batchgate.Kill(); err != nil {
		t.Fatal(err)
	}
	session.ExpectNativeOpenAPI(t, cluster)
	s.ExpectError([]string{"get", "job", "pi"}, "") // from now on, one way or the other
	unavailable(s)
	s.ExpectError([]string{"patch", "job", "pi", "--type=merge", `--patch={"spec": {"parallelism": 2}}`}, "unable to handle the request")
	if err := answersUnavailable(s); err != nil {
		t.Error(err)
	}
	// The rest of the API is as it was.
	s.Run("get", "pods", "--output=name")

	if err := cluster.APIServer.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := cluster.APIServer.Start(); err != nil {
		t.Fatal(err)
	}
	s.Eventually("answer, and wait for v1.batch", func() error {
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
	s.Eventually("have a ready kube-apiserver", func() error { return cluster.APIServerReady(t.Context()) })
	s.Eventually("be patched again", func() error { return patchWorks(s) })
	if after := s.Job("pi"); after.UID != stored.UID {
		t.Errorf("the Job is another one: %s", cmp.Diff(stored, after))
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
	s.Eventually("be served by kube-apiserver", func() error { return s.Annotate("native") })
	t.Logf("rollback took %s", time.Since(began))
	s.FinishJob("pi", batchv1.JobComplete)
}

// A namespace that is deleted during an outage stays until its Jobs can be deleted.
func TestNamespaceDeletedDuringAnOutageGoesAfterIt(t *testing.T) {
	s := session.Disrupt(t, cluster)
	s.CreateJob(session.NewJob("pi"))
	if err := cluster.Batchgate.Kill(); err != nil {
		t.Fatal(err)
	}
	s.Run("delete", "namespace", s.Namespace, "--wait=false")
	s.Eventually("say why the namespace is still there", func() error {
		text := s.Run("get", "namespace", s.Namespace, "--output=yaml")
		if strings.Contains(text, "reason: DiscoveryFailed") || strings.Contains(text, "reason: ContentDeletionFailed") {
			return nil
		}
		return fmt.Errorf("the namespace is\n%s", text)
	})
	if err := cluster.StartBatchgate(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Run("wait", "namespace", s.Namespace, "--for=delete", "--timeout=115s")
}
