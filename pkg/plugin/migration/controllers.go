// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package migration

import (
	"context"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/pkg/plugin/cluster"
)

const (
	progressInterval = 15 * time.Second
	deleteTimeout    = 10 * time.Second
)

// Controllers configures the check that the Job controller and the garbage collector see new
// Jobs after a move. A watch that a controller holds on the previous server reports nothing until
// it ends, after 5 to 10 minutes with client-go.
type Controllers struct {
	// Namespace of the suspended Job that the check creates. Empty means "default".
	Namespace string
	// Timeout of the check. 0 skips it.
	Timeout time.Duration
}

const skipped = "skipped"

func (o Controllers) job() *batchv1.Job {
	job := cluster.Canary()
	job.Spec.Suspend = ptr.To(true)
	if o.Namespace != "" {
		job.Namespace = o.Namespace
	}
	return job
}

// checkCanary returns a step that creates the suspended Job as a dry run. It ignores a denial by a
// freeze or guard.
func (o Controllers) checkCanary(c *cluster.Cluster) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		if o.Timeout == 0 {
			return skipped, nil
		}
		job := o.job()
		_, err := c.Kube.BatchV1().Jobs(job.Namespace).Create(ctx, job, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err != nil && !isFreeze(err) {
			return "", fmt.Errorf("creating a Job as a dry run: %w: choose another namespace with --canary-namespace", err)
		}
		return "a Job can be created in " + job.Namespace, nil
	}
}

// await returns a step that waits until the Job controller has noticed a new Job, and the garbage
// collector its deletion.
func (o Controllers) await(c *cluster.Cluster, progress func(string)) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		if o.Timeout == 0 {
			return skipped, nil
		}
		w := &controllersWait{Controllers: o, cluster: c, progress: progress, began: time.Now()}
		if err := w.run(ctx); err != nil {
			return "", fmt.Errorf("%w: the controllers do not see new Jobs. Restart kube-controller-manager and everything else that watches Jobs, then run this again", err)
		}
		return fmt.Sprintf("they see new Jobs, after %s", time.Since(w.began).Round(100*time.Millisecond)), nil
	}
}

type controllersWait struct {
	Controllers
	cluster  *cluster.Cluster
	progress func(string)
	began    time.Time
	job      *batchv1.Job
}

func (w *controllersWait) run(ctx context.Context) error {
	job := w.Controllers.job()
	jobs := w.cluster.Kube.BatchV1().Jobs(job.Namespace)
	var err error
	if w.job, err = jobs.Create(ctx, job, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("creating a Job: %w", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deleteTimeout)
		defer cancel()
		_ = jobs.Delete(ctx, w.job.Name, metav1.DeleteOptions{PropagationPolicy: ptr.To(metav1.DeletePropagationBackground)})
	}()
	if err := w.poll(ctx, "the Job controller", isSuspended); err != nil {
		return err
	}
	if err := jobs.Delete(ctx, w.job.Name, metav1.DeleteOptions{PropagationPolicy: ptr.To(metav1.DeletePropagationForeground)}); err != nil {
		return fmt.Errorf("deleting a Job: %w", err)
	}
	return w.poll(ctx, "the garbage collector", func(current *batchv1.Job) bool { return current == nil })
}

// poll waits until done returns true for the Job, which is nil once it is deleted.
func (w *controllersWait) poll(ctx context.Context, what string, done func(*batchv1.Job) bool) error {
	reported := w.began
	err := wait.PollUntilContextTimeout(ctx, w.cluster.Timing.Poll, w.Timeout-time.Since(w.began), true, func(ctx context.Context) (bool, error) {
		current, err := w.cluster.Kube.BatchV1().Jobs(w.job.Namespace).Get(ctx, w.job.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			current, err = nil, nil
		}
		if err == nil && done(current) {
			return true, nil
		}
		if time.Since(reported) > progressInterval {
			reported = time.Now()
			w.progress(fmt.Sprintf("waiting for %s for %s; this may take 10 minutes", what, time.Since(w.began).Round(time.Second)))
		}
		return false, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for %s: %w", what, err)
	}
	return nil
}

// isSuspended reports whether the Job controller has set the condition Suspended.
func isSuspended(job *batchv1.Job) bool {
	if job == nil {
		return false
	}
	for _, condition := range job.Status.Conditions {
		if condition.Type == batchv1.JobSuspended && condition.Status == corev1.ConditionTrue {
			return true
		}
	}
	return false
}
