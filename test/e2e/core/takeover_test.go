// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package core

import (
	"encoding/json"
	"errors"
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

// waitReady waits until the status of the Job counts n active and n ready Pods, and returns the Job.
func waitReady(s session.Session, job string, n int32) *batchv1.Job {
	s.T.Helper()
	s.Eventually(fmt.Sprintf("see %d ready Pods in the status of Job %s", n, job), func() error {
		if status := s.Job(job).Status; status.Active != n || ptr.Deref(status.Ready, 0) != n {
			return fmt.Errorf("status is %+v", status)
		}
		return nil
	})
	return s.Job(job)
}

func TestTakeoverAndRollbackKeepJobs(t *testing.T) {
	s := session.New(t, cluster)
	session.RollBack(t, cluster)
	s.WaitNative()
	s.CreateJob(session.NewJob("held"))
	native := waitReady(s, "held", 1)

	session.TakeOver(t, cluster)
	s.Eventually("have updates gated", func() error {
		err := s.Annotate("gated")
		if err == nil {
			return errors.New("an annotation was allowed")
		}
		if !strings.Contains(err.Error(), session.DeniedMessage) {
			return err
		}
		return nil
	})
	gated := s.Job("held")
	if gated.SelfLink == "" {
		t.Error("Job has no selfLink after takeover")
	}
	gated.SelfLink = ""
	if diff := cmp.Diff(native, gated); diff != "" {
		t.Errorf("takeover changed the Job (-before +after):\n%s", diff)
	}
	s.Run("patch", "job", "held", "--type=merge", `--patch={"spec": {"completions": 2, "parallelism": 2}}`)
	gated = waitReady(s, "held", 2)
	gated.SelfLink = ""

	session.RollBack(t, cluster)
	s.Eventually("have Jobs served by kube-apiserver again", func() error { return s.Annotate("native again") })
	if diff := cmp.Diff(gated, s.Job("held")); diff != "" {
		t.Errorf("rollback changed the Job (-before +after):\n%s", diff)
	}

	session.TakeOver(t, cluster)
	s.Eventually("have updates gated again", func() error {
		if err := s.Annotate("gated"); err == nil {
			return errors.New("an annotation was allowed")
		}
		return nil
	})
}

func TestRollbackRestoresAPIService(t *testing.T) {
	s := session.New(t, cluster)
	get := func(path string) string {
		return s.Run("get", "apiservice", "v1.batch", "--output=jsonpath={"+path+"}")
	}
	if label := get(`.metadata.labels.kube-aggregator\.kubernetes\.io/automanaged`); label != "" {
		t.Errorf("after takeover, label automanaged is %q, so kube-apiserver would reset the APIService", label)
	}
	if get(".spec.insecureSkipTLSVerify") == "true" {
		t.Error("the APIService skips TLS verification")
	}
	session.RollBack(t, cluster)
	if label := get(`.metadata.labels.kube-aggregator\.kubernetes\.io/automanaged`); label != "onstart" {
		t.Errorf("after rollback, label automanaged is %q, want onstart", label)
	}
	var spec, native map[string]any
	for name, into := range map[string]*map[string]any{"v1.batch": &spec, "v1.apps": &native} {
		if err := json.Unmarshal([]byte(s.Run("get", "apiservice", name, "--output=jsonpath={.spec}")), into); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(native)), slices.Sorted(maps.Keys(spec))); diff != "" {
		t.Errorf("after rollback, the fields differ from those of a built-in APIService (-want +got):\n%s", diff)
	}
	if spec["groupPriorityMinimum"] != 17400.0 || spec["versionPriority"] != 15.0 {
		t.Errorf("priorities are %v and %v, want 17400 and 15", spec["groupPriorityMinimum"], spec["versionPriority"])
	}
}

// The bootstrap policies let no user resume a Job, so the test resumes it natively. The Job then runs to
// the completions that were patched under the gate.
func TestSuspendedJobRunsToPatchedCompletions(t *testing.T) {
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
		s.Eventually("resume Job "+job, func() error {
			_, _, err := s.Try("patch", "job", job, "--type=merge", `--patch={"spec": {"suspend": false}}`)
			return err
		})
	}
	session.TakeOver(t, cluster)
	for _, job := range []string{"pi", "indexed"} {
		s.FinishJob(job, batchv1.JobComplete)
		if status := s.Job(job).Status; status.Succeeded != 3 {
			t.Errorf("status of Job %s is %+v, want 3 succeeded", job, status)
		}
	}
}
