package core

import (
	"errors"
	"fmt"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/test/framework"
)

func TestNonIndexedJobPatchedInFlightRunsToItsNewCompletions(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.create(newJob("pi"))
	s.waitRunning("pi", 1)
	s.run("patch", "job", "pi", "--type=merge", `--patch={"spec": {"completions": 5, "parallelism": 3}}`)
	s.waitRunning("pi", 3)
	s.finish("pi", batchv1.JobComplete)
	if job := s.job("pi"); job.Status.Succeeded != 5 || job.Status.Failed != 0 {
		t.Errorf("the status is %+v, want 5 succeeded", job.Status)
	}
}

func TestIndexedJobPatchedInFlightRunsToItsNewCompletions(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.create(newJob("pi", func(j *batchv1.Job) {
		j.Spec.CompletionMode = ptr.To(batchv1.IndexedCompletion)
		j.Spec.Completions = ptr.To[int32](2)
		j.Spec.Parallelism = ptr.To[int32](2)
	}))
	s.waitRunning("pi", 2)
	s.run("patch", "job", "pi", "--type=merge", `--patch={"spec": {"completions": 4, "parallelism": 4}}`)
	s.waitRunning("pi", 4)
	// Upstream would refuse this one: not in tandem with parallelism.
	s.run("patch", "job", "pi", "--type=merge", `--patch={"spec": {"completions": 6}}`)
	s.finish("pi", batchv1.JobComplete)
	if job := s.job("pi"); job.Status.Succeeded != 6 || job.Status.CompletedIndexes != "0-5" {
		t.Errorf("the status is %+v, want the indexes 0-5 completed", job.Status)
	}
}

func TestFinishedJobKeepsItsCompletions(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.create(newJob("pi"))
	s.finish("pi", batchv1.JobComplete)
	s.refused([]string{"patch", "job", "pi", "--type=merge", `--patch={"spec": {"completions": 2}}`},
		"spec.completions: Forbidden: may not be updated once the Job has the condition Complete")
	s.run("label", "job", "pi", "tier=batch")
}

func TestFailingPodsFailTheJob(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.create(newJob("pi", func(j *batchv1.Job) {
		j.Spec.BackoffLimit = ptr.To[int32](0)
		j.Spec.Template.Annotations[framework.ExitCodeAnnotation] = "3"
	}))
	s.finish("pi", batchv1.JobFailed)
}

func TestFinishedJobIsRemovedAfterItsTimeToLive(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.create(newJob("pi", func(j *batchv1.Job) {
		j.Spec.TTLSecondsAfterFinished = ptr.To[int32](1)
		j.Spec.Template.Annotations = nil // the Pod ends by itself
	}))
	s.eventually("be removed", func() error {
		_, err := cluster.Client.BatchV1().Jobs(s.namespace).Get(t.Context(), "pi", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(err, errors.New("the Job is still there"))
	})
}

func TestCronJobCreatesJobsAndIsNotGated(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.run("create", "cronjob", "tick", "--image=example.com/work:1", "--schedule=* * * * *")
	s.run("annotate", "cronjob", "tick", "example.com/a=b")
	s.run("create", "job", "manual", "--from=cronjob/tick")
	s.finish("manual", batchv1.JobComplete)
	s.eventually("have a Job of its schedule that is complete", func() error {
		jobs, err := cluster.Client.BatchV1().Jobs(s.namespace).List(t.Context(), metav1.ListOptions{FieldSelector: "status.successful=1,metadata.name!=manual"})
		if err != nil {
			return err
		}
		if len(jobs.Items) == 0 {
			return fmt.Errorf("there is none")
		}
		return nil
	})
	s.run("patch", "cronjob", "tick", "--type=merge", `--patch={"spec": {"suspend": true}}`)
}
