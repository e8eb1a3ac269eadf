// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package session

import (
	"errors"
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/test/framework"
)

// NewJob is like framework.NewJob, but holds the Pods of the Job.
func NewJob(name string, changes ...func(*batchv1.Job)) *batchv1.Job {
	return framework.NewJob(name, append([]func(*batchv1.Job){framework.Hold}, changes...)...)
}

// MergePatch returns the kubectl arguments that merge a patch into a Job.
func MergePatch(job, patch string) []string {
	return []string{"patch", "job", job, "--type=merge", "--patch=" + patch}
}

// CreateJob creates a Job with kubectl.
func (s Session) CreateJob(job *batchv1.Job) {
	s.T.Helper()
	s.WithStdin(Manifest(s.T, job)).Run("create", "--filename=-")
}

// Job reads a Job.
func (s Session) Job(name string) *batchv1.Job {
	s.T.Helper()
	return s.jobs().Get(name)
}

// JobField returns the value of a JSONPath expression for a Job, as kubectl prints it.
func (s Session) JobField(job, path string) string {
	s.T.Helper()
	return s.Run("get", "job", job, "--output=jsonpath={"+path+"}")
}

// JobGone returns nil if the Job does not exist.
func (s Session) JobGone(job string) error {
	_, err := s.Cluster.Client.BatchV1().Jobs(s.Namespace).Get(s.T.Context(), job, metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		return errors.Join(err, fmt.Errorf("Job %s still exists", job))
	}
	return nil
}

// JobAndPodsGone returns nil if neither the Job nor any of its Pods exists.
func (s Session) JobAndPodsGone(job string) error {
	s.T.Helper()
	if err := s.JobGone(job); err != nil {
		return err
	}
	if left := s.jobs().Pods(job); len(left) > 0 {
		return fmt.Errorf("%d Pods of Job %s still exist", len(left), job)
	}
	return nil
}

// Pods returns the Pods of a Job that are not terminating.
func (s Session) Pods(job string) []corev1.Pod {
	s.T.Helper()
	return slices.DeleteFunc(s.jobs().Pods(job), func(pod corev1.Pod) bool { return pod.DeletionTimestamp != nil })
}

// WaitRunning waits until exactly n Pods of the Job are running.
func (s Session) WaitRunning(job string, n int) {
	s.T.Helper()
	s.WaitPods(job, n, corev1.PodRunning)
}

// WaitPods waits until exactly n Pods of the Job are in a phase.
func (s Session) WaitPods(job string, n int, phase corev1.PodPhase) {
	s.T.Helper()
	s.Eventually(fmt.Sprintf("see %d %s Pods of Job %s", n, phase, job), func() error {
		count := 0
		for _, pod := range s.Pods(job) {
			if pod.Status.Phase == phase {
				count++
			}
		}
		if count != n {
			return fmt.Errorf("%d Pods are %s", count, phase)
		}
		return nil
	})
}

// FinishJob releases the Pods of a Job, including replacements, until the Job has the condition.
func (s Session) FinishJob(job string, condition batchv1.JobConditionType) {
	s.T.Helper()
	s.jobs().Finish(job, condition)
}

// jobs returns the helpers for Jobs that need no kubectl.
func (s Session) jobs() framework.Jobs {
	return framework.Jobs{T: s.T, Client: s.Cluster.Client, Namespace: s.Namespace, Timeout: WaitTimeout}
}
