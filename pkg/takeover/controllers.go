package takeover

import (
	"context"
	"fmt"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/ptr"
)

// Controllers is how the Job controller and the garbage collector are looked at after Jobs have
// moved. A watch that a controller still holds on the server of before sees nothing new until it
// ends, which is after 5 to 10 minutes with client-go.
type Controllers struct {
	// Namespace is where a suspended Job is made for it. Default "default".
	Namespace string
	// Timeout bounds the wait. 0 does not look.
	Timeout time.Duration
}

func (c Controllers) job() *batchv1.Job {
	job := canary()
	job.Spec.Suspend = ptr.To(true)
	if c.Namespace != "" {
		job.Namespace = c.Namespace
	}
	return job
}

// check looks whether the Job could be made.
func (c Controllers) check(cluster *Cluster) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		if c.Timeout == 0 {
			return "not asked for", nil
		}
		job := c.job()
		if _, err := cluster.Kube.BatchV1().Jobs(job.Namespace).Create(ctx, job, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); err != nil && !strings.Contains(err.Error(), frozenMessage) {
			return "", fmt.Errorf("creating a Job as a dry run: %w: name another namespace with --canary-namespace", err)
		}
		return "a Job can be created in " + job.Namespace, nil
	}
}

// await waits until the Job controller has seen a new Job, and the garbage collector that it is
// to be deleted.
func (c Controllers) await(cluster *Cluster, progress func(string)) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		if c.Timeout == 0 {
			return "not asked for", nil
		}
		began := time.Now()
		if err := c.watchOneJob(ctx, cluster, progress); err != nil {
			return "", fmt.Errorf("%w: the controllers do not see what is new. Restart kube-controller-manager, and whatever else watches Jobs, then run this again", err)
		}
		return fmt.Sprintf("they see new Jobs, after %s", time.Since(began).Round(100*time.Millisecond)), nil
	}
}

func (c Controllers) watchOneJob(ctx context.Context, cluster *Cluster, progress func(string)) error {
	job := c.job()
	jobs := cluster.Kube.BatchV1().Jobs(job.Namespace)
	job, err := jobs.Create(ctx, job, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("creating a Job: %w", err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		background := metav1.DeletePropagationBackground
		_ = jobs.Delete(ctx, job.Name, metav1.DeleteOptions{PropagationPolicy: &background})
	}()
	began := time.Now()
	poll := func(what string, done func(*batchv1.Job) bool) error {
		said := began
		err := wait.PollUntilContextTimeout(ctx, 500*time.Millisecond, c.Timeout-time.Since(began), true, func(ctx context.Context) (bool, error) {
			current, err := jobs.Get(ctx, job.Name, metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				current, err = nil, nil
			}
			if err == nil && done(current) {
				return true, nil
			}
			if time.Since(said) > 15*time.Second {
				said = time.Now()
				progress(fmt.Sprintf("waiting for %s; this may take 10 minutes, since %s", what, time.Since(began).Round(time.Second)))
			}
			return false, nil
		})
		if err != nil {
			return fmt.Errorf("waiting for %s: %w", what, err)
		}
		return nil
	}
	err = poll("the Job controller", func(current *batchv1.Job) bool {
		return current != nil && suspended(current)
	})
	if err != nil {
		return err
	}
	foreground := metav1.DeletePropagationForeground
	if err := jobs.Delete(ctx, job.Name, metav1.DeleteOptions{PropagationPolicy: &foreground}); err != nil {
		return fmt.Errorf("deleting a Job: %w", err)
	}
	return poll("the garbage collector", func(current *batchv1.Job) bool { return current == nil })
}

// suspended reports whether the Job controller has noted that the Job is.
func suspended(job *batchv1.Job) bool {
	for _, condition := range job.Status.Conditions {
		if condition.Type == batchv1.JobSuspended && condition.Status == corev1.ConditionTrue {
			return true
		}
	}
	return false
}
