package core

import (
	"errors"
	"fmt"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/test/e2e/internal/session"
)

func TestNonIndexedJobPatchedInFlightRunsToItsNewCompletions(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	s.CreateJob(session.NewJob("pi"))
	s.WaitRunning("pi", 1)
	s.Run("patch", "job", "pi", "--type=merge", `--patch={"spec": {"completions": 5, "parallelism": 3}}`)
	s.WaitRunning("pi", 3)
	s.FinishJob("pi", batchv1.JobComplete)
	if job := s.Job("pi"); job.Status.Succeeded != 5 || job.Status.Failed != 0 {
		t.Errorf("the status is %+v, want 5 succeeded", job.Status)
	}
}

func TestIndexedJobPatchedInFlightRunsToItsNewCompletions(t *testing.T) {
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
	// Upstream would refuse this one: not in tandem with parallelism.
	s.Run("patch", "job", "pi", "--type=merge", `--patch={"spec": {"completions": 6}}`)
	s.FinishJob("pi", batchv1.JobComplete)
	if job := s.Job("pi"); job.Status.Succeeded != 6 || job.Status.CompletedIndexes != "0-5" {
		t.Errorf("the status is %+v, want the indexes 0-5 completed", job.Status)
	}
}

func TestFinishedJobKeepsItsCompletions(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	s.CreateJob(session.NewJob("pi"))
	s.FinishJob("pi", batchv1.JobComplete)
	s.ExpectError([]string{"patch", "job", "pi", "--type=merge", `--patch={"spec": {"completions": 2}}`},
		"spec.completions: Forbidden: may not be updated once the Job has the condition Complete")
	s.Run("label", "job", "pi", "tier=batch")
}

func TestFailingPodsFailTheJob(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	s.CreateJob(session.NewJob("pi", func(j *batchv1.Job) {
		j.Spec.BackoffLimit = ptr.To[int32](0)
		j.Spec.Template.Annotations[session.ExitCodeAnnotation] = "3"
	}))
	s.FinishJob("pi", batchv1.JobFailed)
}

func TestFinishedJobIsRemovedAfterItsTimeToLive(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	s.CreateJob(session.NewJob("pi", func(j *batchv1.Job) {
		j.Spec.TTLSecondsAfterFinished = ptr.To[int32](1)
		j.Spec.Template.Annotations = nil // the Pod ends by itself
	}))
	s.Eventually("be removed", func() error {
		_, err := cluster.Client.BatchV1().Jobs(s.Namespace).Get(t.Context(), "pi", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(err, errors.New("the Job is still there"))
	})
}

func TestCronJobCreatesJobsAndIsNotGated(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	s.Run("create", "cronjob", "tick", "--image=example.com/work:1", "--schedule=* * * * *")
	s.Run("annotate", "cronjob", "tick", "example.com/a=b")
	s.Run("create", "job", "manual", "--from=cronjob/tick")
	s.FinishJob("manual", batchv1.JobComplete)
	s.Eventually("have a Job of its schedule that is complete", func() error {
		jobs, err := cluster.Client.BatchV1().Jobs(s.Namespace).List(t.Context(), metav1.ListOptions{FieldSelector: "status.successful=1,metadata.name!=manual"})
		if err != nil {
			return err
		}
		if len(jobs.Items) == 0 {
			return fmt.Errorf("there is none")
		}
		return nil
	})
	s.Run("patch", "cronjob", "tick", "--type=merge", `--patch={"spec": {"suspend": true}}`)
}
