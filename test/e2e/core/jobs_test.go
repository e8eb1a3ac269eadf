// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package core

import (
	"errors"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/test/e2e/internal/session"

	"github.com/batchgate/batchgate/test/framework"
)

func TestNonIndexedJobRunsToPatchedCompletions(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	s.CreateJob(session.NewJob("pi"))
	s.WaitRunning("pi", 1)
	s.Run("patch", "job", "pi", "--type=merge", `--patch={"spec": {"completions": 5, "parallelism": 3}}`)
	s.WaitRunning("pi", 3)
	s.FinishJob("pi", batchv1.JobComplete)
	if job := s.Job("pi"); job.Status.Succeeded != 5 || job.Status.Failed != 0 {
		t.Errorf("status is %+v, want 5 succeeded", job.Status)
	}
}

func TestIndexedJobRunsToPatchedCompletions(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	s.CreateJob(session.NewJob("pi", func(j *batchv1.Job) {
		j.Spec.CompletionMode = ptr.To(batchv1.IndexedCompletion)
		j.Spec.Completions = ptr.To[int32](2)
		j.Spec.Parallelism = ptr.To[int32](2)
	}))
	s.WaitRunning("pi", 2)
	s.Run("patch", "job", "pi", "--type=merge", `--patch={"spec": {"completions": 4, "parallelism": 4}}`)
	s.WaitRunning("pi", 4)
	// kube-apiserver would reject this patch, because parallelism does not change with completions.
	s.Run("patch", "job", "pi", "--type=merge", `--patch={"spec": {"completions": 6}}`)
	s.FinishJob("pi", batchv1.JobComplete)
	if job := s.Job("pi"); job.Status.Succeeded != 6 || job.Status.CompletedIndexes != "0-5" {
		t.Errorf("status is %+v, want completed indexes 0-5", job.Status)
	}
}

func TestFinishedJobKeepsCompletions(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	s.CreateJob(session.NewJob("pi"))
	s.FinishJob("pi", batchv1.JobComplete)
	s.ExpectError([]string{"patch", "job", "pi", "--type=merge", `--patch={"spec": {"completions": 2}}`},
		"spec.completions: Forbidden: may not be updated once the Job has the condition Complete")
	s.Run("label", "job", "pi", "tier=batch")
}

func TestFailedPodsFailJob(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	s.CreateJob(session.NewJob("pi", func(j *batchv1.Job) {
		j.Spec.BackoffLimit = ptr.To[int32](0)
		j.Spec.Template.Annotations[framework.ExitCodeAnnotation] = "3"
	}))
	s.FinishJob("pi", batchv1.JobFailed)
}

func TestFinishedJobRemovedAfterTTL(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	s.CreateJob(session.NewJob("pi", func(j *batchv1.Job) {
		j.Spec.TTLSecondsAfterFinished = ptr.To[int32](1)
		j.Spec.Template.Annotations = nil // the Pod is not held
	}))
	s.Eventually("have the Job removed", func() error { return s.JobGone("pi") })
}

func TestCronJobNotGated(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	s.Run("create", "cronjob", "tick", "--image=example.com/work:1", "--schedule=* * * * *")
	s.Run("annotate", "cronjob", "tick", "example.com/a=b")
	s.Run("create", "job", "manual", "--from=cronjob/tick")
	s.FinishJob("manual", batchv1.JobComplete)
	s.Eventually("see a scheduled Job complete", func() error {
		jobs, err := cluster.Client.BatchV1().Jobs(s.Namespace).List(t.Context(), metav1.ListOptions{FieldSelector: "status.successful=1,metadata.name!=manual"})
		if err != nil {
			return err
		}
		if len(jobs.Items) == 0 {
			return errors.New("no scheduled Job is complete")
		}
		return nil
	})
	s.Run("patch", "cronjob", "tick", "--type=merge", `--patch={"spec": {"suspend": true}}`)
}
