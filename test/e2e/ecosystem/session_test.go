// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package ecosystem

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/batchgate/batchgate/test/framework"
)

const (
	// waitTimeout is long enough for a busy machine, and for the backoff of controllers after denials.
	waitTimeout = 3 * time.Minute
)

// session accesses the cluster as admin, in a namespace that belongs to the test.
type session struct {
	t         *testing.T
	namespace string
}

func newSession(t *testing.T) session {
	t.Helper()
	s := session{t: t}
	s.namespace = s.jobs().CreateNamespace(metav1.ObjectMeta{GenerateName: "ecosystem-"})
	s.jobs().DeleteNamespaceAfterTest()
	return s
}

func (s session) jobs() framework.Jobs {
	return framework.Jobs{T: s.t, Client: cluster.Client, Namespace: s.namespace, Timeout: waitTimeout}
}

// run runs kubectl in the namespace and returns its trimmed output.
func (s session) run(args ...string) string {
	s.t.Helper()
	stdout, _, err := cluster.Kubectl().Run(s.t.Context(), append([]string{"--namespace=" + s.namespace}, args...)...)
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.TrimSpace(stdout)
}

func (s session) create(manifest string) {
	s.t.Helper()
	if _, _, err := cluster.Kubectl().WithStdin(manifest).Run(s.t.Context(), "--namespace="+s.namespace, "create", "--filename=-"); err != nil {
		s.t.Fatal(err)
	}
}

func (s session) createJob(job *batchv1.Job) *batchv1.Job {
	s.t.Helper()
	return s.jobs().Create(job)
}

func (s session) job(name string) *batchv1.Job {
	s.t.Helper()
	return s.jobs().Get(name)
}

// checkGone returns an error if the Job or one of its Pods exists.
func (s session) checkGone(job string) error {
	s.t.Helper()
	_, err := cluster.Client.BatchV1().Jobs(s.namespace).Get(s.t.Context(), job, metav1.GetOptions{})
	switch {
	case err == nil:
		return errors.New("the Job exists")
	case !apierrors.IsNotFound(err):
		return err
	case len(s.pods(job)) > 0:
		return errors.New("Pods exist")
	}
	return nil
}

func (s session) pods(job string) []corev1.Pod {
	s.t.Helper()
	return s.jobs().Pods(job)
}

func (s session) podUIDs(job string) map[string]types.UID {
	s.t.Helper()
	return s.jobs().PodUIDs(job)
}

// awaitRunning waits until the Job has n Pods, all running.
func (s session) awaitRunning(job string, n int) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("have %d running Pods", n), func() error {
		pods := s.pods(job)
		for _, pod := range pods {
			if pod.DeletionTimestamp != nil || pod.Status.Phase != corev1.PodRunning {
				return fmt.Errorf("a Pod of %s has the phase %s and the deletion timestamp %v", job, pod.Status.Phase, pod.DeletionTimestamp)
			}
		}
		if len(pods) != n {
			return fmt.Errorf("%s has %d Pods; its status is %+v", job, len(pods), s.job(job).Status)
		}
		return nil
	})
}

// release removes the hold annotation, so that all Pods of a Job end.
func (s session) release(job string) {
	s.t.Helper()
	if err := s.jobs().Release(job); err != nil {
		s.t.Fatal(err)
	}
}

// finish releases Pods until the Job is Complete.
func (s session) finish(job string) {
	s.t.Helper()
	s.jobs().Finish(job, batchv1.JobComplete)
}

func (s session) eventually(what string, check func() error) {
	s.t.Helper()
	eventually(s.t, what, check)
}

func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	framework.Eventually(t, waitTimeout, what, check)
}

// fileContains returns an error unless the file contains the text.
func fileContains(file, text string) error {
	content, err := os.ReadFile(file)
	if err == nil && !strings.Contains(string(content), text) {
		err = fmt.Errorf("%s does not contain %q", file, text)
	}
	return err
}

// newJob returns a Job with n parallel Pods. The fake kubelet holds them, and each requests one CPU.
func newJob(name string, n int32, changes ...func(*batchv1.Job)) *batchv1.Job {
	return framework.NewJob(name, append([]func(*batchv1.Job){framework.Hold, func(job *batchv1.Job) {
		job.Spec.Parallelism, job.Spec.Completions = new(n), new(n)
		job.Spec.Template.Spec.Containers[0].Resources = oneCPU
	}}, changes...)...)
}
