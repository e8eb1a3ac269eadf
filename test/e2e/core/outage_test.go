package core

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// patchWorks patches the Job through the aggregator, with a gated answer.
func patchWorks(s session) error {
	if _, _, err := s.try("label", "--overwrite", "job", "pi", "by=test"); err != nil {
		return err
	}
	if err := annotate(s, "test"); err == nil || !strings.Contains(err.Error(), refusal) {
		return fmt.Errorf("not gated: %v", err)
	}
	return nil
}

// disrupt returns a session of a test that stops components, and starts what is left
// stopped after it.
func disrupt(t *testing.T) session {
	s := newSession(t)
	t.Cleanup(func() {
		if !cluster.APIServer.Running() {
			if err := cluster.StartAPIServer(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		if !cluster.Batchgate.Running() {
			if err := cluster.StartBatchgate(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		// The aggregator finds out after up to half a minute.
		if err := cluster.WaitForPolicyAPI(context.Background()); err != nil {
			t.Fatal(err)
		}
		log, err := os.ReadFile(cluster.Batchgate.LogFile())
		if err != nil {
			t.Fatal(err)
		}
		calmSince = len(log)
	})
	return s
}

// answersUnavailable returns nil if each request for a Job, as clients see it, is answered
// with 503.
func answersUnavailable(s session) error {
	s.t.Helper()
	jobs := cluster.Client.BatchV1().Jobs(s.namespace)
	_, getErr := jobs.Get(s.t.Context(), "pi", metav1.GetOptions{})
	_, patchErr := jobs.Patch(s.t.Context(), "pi", types.MergePatchType, []byte(`{"spec": {"parallelism": 2}}`), metav1.PatchOptions{})
	_, statusErr := jobs.Patch(s.t.Context(), "pi", types.MergePatchType, []byte(`{"status": {"active": 2}}`), metav1.PatchOptions{}, "status")
	_, createErr := jobs.Create(s.t.Context(), newJob("other"), metav1.CreateOptions{})
	for request, err := range map[string]error{"get": getErr, "patch": patchErr, "patch of the status": statusErr, "create": createErr} {
		if code := statusCode(err); code != http.StatusServiceUnavailable || !apierrors.IsServiceUnavailable(err) {
			return fmt.Errorf("a %s is answered with %d: %w", request, code, err)
		}
	}
	return nil
}

// statusCode returns the HTTP code of an answer that client-go has made an error, 0 for
// another error or none.
func statusCode(err error) int {
	var status apierrors.APIStatus
	if errors.As(err, &status) {
		return int(status.Status().Code)
	}
	return 0
}

// unavailable waits until kube-apiserver has found out that nobody serves v1.batch.
func unavailable(s session) {
	s.t.Helper()
	s.run("wait", "apiservice", "v1.batch", "--for=condition=Available=False", "--timeout=110s")
}

func TestTakeoverSurvivesARestartOfKubeAPIServer(t *testing.T) {
	s := disrupt(t)
	s.create(newJob("pi"))
	s.waitRunning("pi", 1)
	if err := cluster.APIServer.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := cluster.BatchgateReady(t.Context()); err != nil {
		t.Logf("without kube-apiserver Batchgate says it is not ready: %v", err)
	}
	if err := cluster.StartAPIServer(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.eventually("be patched again", func() error { return patchWorks(s) })
	s.finish("pi", batchv1.JobComplete)
}

func TestBatchgateStartsAndWaitsWhileKubeAPIServerIsDown(t *testing.T) {
	s := disrupt(t)
	s.create(newJob("pi"))
	if err := errors.Join(cluster.APIServer.Stop(), cluster.Batchgate.Stop()); err != nil {
		t.Fatal(err)
	}
	if err := cluster.Batchgate.Start(); err != nil {
		t.Fatal(err)
	}
	s.eventually("start without kube-apiserver", func() error {
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
	s.eventually("be patched again", func() error { return patchWorks(s) })
	if !cluster.Batchgate.Running() {
		t.Error("Batchgate has ended")
	}
}

func TestKilledBatchgateMeans503AndKubeAPIServerRestartedMeanwhileRecoversByItself(t *testing.T) {
	s := disrupt(t)
	s.create(newJob("pi"))
	s.waitRunning("pi", 1)
	stored := s.job("pi")
	if err := cluster.Batchgate.Kill(); err != nil {
		t.Fatal(err)
	}
	kubeAPIServersDocument(t)
	s.refused([]string{"get", "job", "pi"}, "") // from now on, one way or the other
	unavailable(s)
	s.refused([]string{"patch", "job", "pi", "--type=merge", `--patch={"spec": {"parallelism": 2}}`}, "unable to handle the request")
	if err := answersUnavailable(s); err != nil {
		t.Error(err)
	}
	// The rest of the API is as it was.
	s.run("get", "pods", "--output=name")

	if err := cluster.APIServer.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := cluster.APIServer.Start(); err != nil {
		t.Fatal(err)
	}
	s.eventually("answer, and wait for v1.batch", func() error {
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
	s.eventually("have a ready kube-apiserver", func() error { return cluster.APIServerReady(t.Context()) })
	s.eventually("be patched again", func() error { return patchWorks(s) })
	if after := s.job("pi"); after.UID != stored.UID {
		t.Errorf("the Job is another one: %s", cmp.Diff(stored, after))
	}
	s.finish("pi", batchv1.JobComplete)
}

func TestRollbackWorksWithBatchgateDown(t *testing.T) {
	s := disrupt(t)
	s.create(newJob("pi"))
	s.waitRunning("pi", 1)
	if err := cluster.Batchgate.Kill(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	rolledBack(t)
	s.eventually("be served by kube-apiserver", func() error { return annotate(s, "native") })
	t.Logf("rollback took %s", time.Since(began))
	s.finish("pi", batchv1.JobComplete)
}

// kube-apiserver asks an aggregated server for its part of discovery even when it is not one any
// more. Clients that have not cached discovery find no Jobs once that server is down.
func TestRollbackByPatchLeavesDiscoveryToBatchgateUntilTheAPIServiceIsMadeAnew(t *testing.T) {
	s := disrupt(t)
	rolledBack(t)
	s.eventually("be served by kube-apiserver", func() error { return native(s) })
	before := s.apiService()
	if err := cluster.Batchgate.Kill(); err != nil {
		t.Fatal(err)
	}
	stale := "kube-apiserver still asks Batchgate: run kubectl batchgate rollback"
	s.eventually("miss Jobs in discovery", func() error {
		_, _, err := s.discovering().try("get", "job", "pi")
		if err == nil || !strings.Contains(err.Error(), "doesn't have a resource type") {
			return fmt.Errorf("kubectl says: %w", err)
		}
		return nil
	})
	s.expectPlugin(1, []string{"status"}, stale)
	s.run("delete", "apiservice", "v1.batch")
	s.eventually("have them in discovery again", func() error {
		_, _, err := s.discovering().try("get", "job", "pi")
		return err
	})
	s.run("create", "--filename=artifacts/apiservice/rollback/apiservice.yaml")
	s.eventually("be as before", func() error {
		if got := s.apiService(); got != before {
			return fmt.Errorf("the APIService is %s", got)
		}
		return nil
	})
	s.discovering().run("get", "job", "pi")
	s.expectPlugin(0, []string{"status"}, "served by kube-apiserver")
}

// A namespace that is deleted during an outage stays until its Jobs can be deleted.
func TestNamespaceDeletedDuringAnOutageGoesAfterIt(t *testing.T) {
	s := disrupt(t)
	s.create(newJob("pi"))
	if err := cluster.Batchgate.Kill(); err != nil {
		t.Fatal(err)
	}
	s.run("delete", "namespace", s.namespace, "--wait=false")
	s.eventually("say why the namespace is still there", func() error {
		text := s.run("get", "namespace", s.namespace, "--output=yaml")
		if strings.Contains(text, "reason: DiscoveryFailed") || strings.Contains(text, "reason: ContentDeletionFailed") {
			return nil
		}
		return fmt.Errorf("the namespace is\n%s", text)
	})
	if err := cluster.StartBatchgate(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.run("wait", "namespace", s.namespace, "--for=delete", "--timeout=115s")
}
