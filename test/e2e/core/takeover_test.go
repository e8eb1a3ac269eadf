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
)

// rolledBack makes sure that kube-apiserver serves batch/v1.
func rolledBack(t *testing.T) {
	t.Helper()
	if err := cluster.RollBack(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// annotate tries what only kube-apiserver allows.
func annotate(s session, value string) error {
	_, _, err := s.try("annotate", "--overwrite", "job", "pi", "by="+value)
	return err
}

// waitReady waits until the Job controller has counted n ready Pods, and has no more to
// say, and returns the Job.
func (s session) waitReady(job string, n int32) *batchv1.Job {
	s.t.Helper()
	s.eventually("be counted as ready", func() error {
		if status := s.job(job).Status; status.Active != n || ptr.Deref(status.Ready, 0) != n {
			return fmt.Errorf("the status is %+v", status)
		}
		return nil
	})
	return s.job(job)
}

func TestTakeoverAndRollbackKeepTheJobs(t *testing.T) {
	s := newSession(t)
	rolledBack(t)
	s.eventually("be served by kube-apiserver", func() error { return native(s) })
	s.create(newJob("held"))
	natively := s.waitReady("held", 1)

	takenOver(t)
	s.eventually("be gated", func() error {
		err := annotate(s, "gated")
		if err == nil {
			return fmt.Errorf("it is not")
		}
		if !strings.Contains(err.Error(), refusal) {
			return err
		}
		return nil
	})
	gated := s.job("held")
	if gated.SelfLink == "" {
		t.Error("the gated Job has no selfLink")
	}
	gated.SelfLink = ""
	if diff := cmp.Diff(natively, gated); diff != "" {
		t.Errorf("takeover has changed the Job: %s", diff)
	}
	s.run("patch", "job", "held", "--type=merge", `--patch={"spec": {"completions": 2, "parallelism": 2}}`)
	gated = s.waitReady("held", 2)
	gated.SelfLink = ""

	rolledBack(t)
	s.eventually("be served by kube-apiserver again", func() error { return annotate(s, "native again") })
	if diff := cmp.Diff(gated, s.job("held")); diff != "" {
		t.Errorf("rollback has changed the Job: %s", diff)
	}

	takenOver(t)
	s.eventually("be gated again", func() error {
		if err := annotate(s, "gated"); err == nil {
			return fmt.Errorf("it is not")
		}
		return nil
	})
}

func TestAPIServiceIsAsKubeAPIServerMakesItAfterRollback(t *testing.T) {
	s := newSession(t)
	get := func(path string) string {
		return s.run("get", "apiservice", "v1.batch", "--output=jsonpath={"+path+"}")
	}
	if label := get(`.metadata.labels.kube-aggregator\.kubernetes\.io/automanaged`); label != "" {
		t.Errorf("taken over, the APIService is labelled %q: kube-apiserver would reset it", label)
	}
	if get(".spec.insecureSkipTLSVerify") == "true" {
		t.Error("the APIService skips the verification of the certificate")
	}
	rolledBack(t)
	if label := get(`.metadata.labels.kube-aggregator\.kubernetes\.io/automanaged`); label != "onstart" {
		t.Errorf("rolled back, the APIService is labelled %q", label)
	}
	var spec, native map[string]any
	for name, into := range map[string]*map[string]any{"v1.batch": &spec, "v1.apps": &native} {
		if err := json.Unmarshal([]byte(s.run("get", "apiservice", name, "--output=jsonpath={.spec}")), into); err != nil {
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
	s := newSession(t)
	s.create(newJob("pi", func(j *batchv1.Job) { j.Spec.Suspend = new(true) }))
	s.create(newJob("indexed", func(j *batchv1.Job) {
		j.Spec.Suspend = new(true)
		j.Spec.CompletionMode = ptr.To(batchv1.IndexedCompletion)
	}))
	for _, job := range []string{"pi", "indexed"} {
		s.run("patch", "job", job, "--type=merge", `--patch={"spec": {"completions": 3}}`)
		s.refused([]string{"patch", "job", job, "--type=merge", `--patch={"spec": {"suspend": false}}`}, "spec.suspend", refusal)
	}
	rolledBack(t)
	for _, job := range []string{"pi", "indexed"} {
		s.eventually("be resumed", func() error {
			_, _, err := s.try("patch", "job", job, "--type=merge", `--patch={"spec": {"suspend": false}}`)
			return err
		})
	}
	takenOver(t)
	for _, job := range []string{"pi", "indexed"} {
		s.finish(job, batchv1.JobComplete)
		if status := s.job(job).Status; status.Succeeded != 3 {
			t.Errorf("the status of %s is %+v, want 3 succeeded", job, status)
		}
	}
}
