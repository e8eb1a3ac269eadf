package core

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/test/e2e/internal/session"
)

// waitReady waits until the Job controller has counted n ready Pods, and has no more to
// say, and returns the Job.
func waitReady(s session.Session, job string, n int32) *batchv1.Job {
	s.T.Helper()
	s.Eventually("be counted as ready", func() error {
		if status := s.Job(job).Status; status.Active != n || ptr.Deref(status.Ready, 0) != n {
			return fmt.Errorf("the status is %+v", status)
		}
		return nil
	})
	return s.Job(job)
}

func TestTakeoverAndRollbackKeepTheJobs(t *testing.T) {
	s := session.New(t, cluster)
	session.RollBack(t, cluster)
	s.WaitNative()
	s.CreateJob(session.NewJob("held"))
	natively := waitReady(s, "held", 1)

	session.TakeOver(t, cluster)
	s.Eventually("be gated", func() error {
		err := s.Annotate("gated")
		if err == nil {
			return fmt.Errorf("it is not")
		}
		if !strings.Contains(err.Error(), session.DeniedMessage) {
			return err
		}
		return nil
	})
	gated := s.Job("held")
	if gated.SelfLink == "" {
		t.Error("the gated Job has no selfLink")
	}
	gated.SelfLink = ""
	if diff := cmp.Diff(natively, gated); diff != "" {
		t.Errorf("takeover has changed the Job: %s", diff)
	}
	s.Run("patch", "job", "held", "--type=merge", `--patch={"spec": {"completions": 2, "parallelism": 2}}`)
	gated = waitReady(s, "held", 2)
	gated.SelfLink = ""

	session.RollBack(t, cluster)
	s.Eventually("be served by kube-apiserver again", func() error { return s.Annotate("native again") })
	if diff := cmp.Diff(gated, s.Job("held")); diff != "" {
		t.Errorf("rollback has changed the Job: %s", diff)
	}

	session.TakeOver(t, cluster)
	s.Eventually("be gated again", func() error {
		if err := s.Annotate("gated"); err == nil {
			return fmt.Errorf("it is not")
		}
		return nil
	})
}

func TestAPIServiceIsAsKubeAPIServerMakesItAfterRollback(t *testing.T) {
	s := session.New(t, cluster)
	get := func(path string) string {
		return s.Run("get", "apiservice", "v1.batch", "--output=jsonpath={"+path+"}")
	}
	if label := get(`.metadata.labels.kube-aggregator\.kubernetes\.io/automanaged`); label != "" {
		t.Errorf("taken over, the APIService is labelled %q: kube-apiserver would reset it", label)
	}
	if get(".spec.insecureSkipTLSVerify") == "true" {
		t.Error("the APIService skips the verification of the certificate")
	}
	session.RollBack(t, cluster)
	if label := get(`.metadata.labels.kube-aggregator\.kubernetes\.io/automanaged`); label != "onstart" {
		t.Errorf("rolled back, the APIService is labelled %q", label)
	}
	var spec, native map[string]any
	for name, into := range map[string]*map[string]any{"v1.batch": &spec, "v1.apps": &native} {
		if err := json.Unmarshal([]byte(s.Run("get", "apiservice", name, "--output=jsonpath={.spec}")), into); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(native)), slices.Sorted(maps.Keys(spec))); diff != "" {
		t.Errorf("the rolled back APIService has other fields than a built-in one: %s", diff)
	}
	if spec["groupPriorityMinimum"] != 17400.0 || spec["versionPriority"] != 15.0 {
		t.Errorf("the priorities are %v and %v", spec["groupPriorityMinimum"], spec["versionPriority"])
	}
}

// The gate lets nobody resume a Job. Without it, one whose completions were changed while
// it was suspended runs to them.
func TestSuspendedJobPatchedUnderTheGateRunsOnceItIsResumed(t *testing.T) {
	s := session.New(t, cluster)
	s.CreateJob(session.NewJob("pi", func(j *batchv1.Job) { j.Spec.Suspend = new(true) }))
	s.CreateJob(session.NewJob("indexed", func(j *batchv1.Job) {
		j.Spec.Suspend = new(true)
		j.Spec.CompletionMode = ptr.To(batchv1.IndexedCompletion)
	}))
	for _, job := range []string{"pi", "indexed"} {
		s.Run("patch", "job", job, "--type=merge", `--patch={"spec": {"completions": 3}}`)
		s.ExpectError([]string{"patch", "job", job, "--type=merge", `--patch={"spec": {"suspend": false}}`}, "spec.suspend", session.DeniedMessage)
	}
	session.RollBack(t, cluster)
	for _, job := range []string{"pi", "indexed"} {
		s.Eventually("be resumed", func() error {
			_, _, err := s.Try("patch", "job", job, "--type=merge", `--patch={"spec": {"suspend": false}}`)
			return err
		})
	}
	session.TakeOver(t, cluster)
	for _, job := range []string{"pi", "indexed"} {
		s.FinishJob(job, batchv1.JobComplete)
		if status := s.Job(job).Status; status.Succeeded != 3 {
			t.Errorf("the status of %s is %+v, want 3 succeeded", job, status)
		}
	}
}
