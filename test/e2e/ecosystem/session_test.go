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

// patience bounds everything that is waited for, on a busy machine. A controller whose
// requests were denied for a while retries late.
const patience = 3 * time.Minute

// session is an admin in a namespace of the test's own.
type session struct {
	t         *testing.T
	namespace string
}

func newSession(t *testing.T) session {
	t.Helper()
	s := session{t: t}
	s.namespace = s.jobs().CreateNamespace(metav1.ObjectMeta{GenerateName: "clients-"})
	s.jobs().DeleteNamespaceAfterTest()
	return s
}

// jobs returns the helpers for the Jobs of the session's namespace.
func (s session) jobs() framework.Jobs {
	return framework.Jobs{T: s.t, Client: cluster.Client, Namespace: s.namespace, Timeout: patience}
}

// run runs kubectl in the namespace, which must succeed.
func (s session) run(args ...string) string {
	s.t.Helper()
	stdout, _, err := cluster.Kubectl().Run(s.t.Context(), append([]string{"--namespace=" + s.namespace}, args...)...)
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.TrimSpace(stdout)
}

// create creates what is in the manifest, in the namespace unless it says where.
func (s session) create(manifest string) {
	s.t.Helper()
	if _, _, err := cluster.Kubectl().WithStdin(manifest).Run(s.t.Context(), "--namespace="+s.namespace, "create", "--filename=-"); err != nil {
		s.t.Fatal(err)
	}
}

// createJob creates a Job and returns it as it is stored.
func (s session) createJob(job *batchv1.Job) *batchv1.Job {
	s.t.Helper()
	return s.jobs().Create(job)
}

func (s session) job(name string) *batchv1.Job {
	s.t.Helper()
	return s.jobs().Get(name)
}

// gone returns an error while there is such a Job, or a Pod of it.
func (s session) gone(job string) error {
	s.t.Helper()
	_, err := cluster.Client.BatchV1().Jobs(s.namespace).Get(s.t.Context(), job, metav1.GetOptions{})
	switch {
	case err == nil:
		return errors.New("the Job is there")
	case !apierrors.IsNotFound(err):
		return err
	case len(s.pods(job)) > 0:
		return errors.New("Pods are there")
	}
	return nil
}

// pods returns the Pods of a Job.
func (s session) pods(job string) []corev1.Pod {
	s.t.Helper()
	return s.jobs().Pods(job)
}

// podUIDs tells which Pods a Job has.
func (s session) podUIDs(job string) map[string]types.UID {
	s.t.Helper()
	return s.jobs().PodUIDs(job)
}

// waitRunning waits until the Job has n Pods, which all run.
func (s session) waitRunning(job string, n int) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("have %d running Pods", n), func() error {
		pods := s.pods(job)
		for _, pod := range pods {
			if pod.DeletionTimestamp != nil || pod.Status.Phase != corev1.PodRunning {
				return fmt.Errorf("a Pod of %s is %s", job, pod.Status.Phase)
			}
		}
		if len(pods) != n {
			return fmt.Errorf("%s has %d Pods; its status is %+v", job, len(pods), s.job(job).Status)
		}
		return nil
	})
}

// release lets all held Pods of a Job end.
func (s session) release(job string) {
	s.t.Helper()
	if err := s.jobs().Release(job); err != nil {
		s.t.Fatal(err)
	}
}

// finish releases Pods until the Job is complete.
func (s session) finish(job string) {
	s.t.Helper()
	s.jobs().Finish(job, batchv1.JobComplete)
}

// eventually waits until check returns nil.
func (s session) eventually(what string, check func() error) {
	s.t.Helper()
	eventually(s.t, what, check)
}

func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	framework.Eventually(t, patience, what, check)
}

// contains returns an error if the file does not have the text.
func contains(file, text string) error {
	content, err := os.ReadFile(file)
	if err == nil && !strings.Contains(string(content), text) {
		err = fmt.Errorf("%s does not say %q", file, text)
	}
	return err
}

// newJob returns a Job of n Pods at once, each of one CPU and held.
func newJob(name string, n int32, changes ...func(*batchv1.Job)) *batchv1.Job {
	return framework.NewJob(name, append([]func(*batchv1.Job){framework.Hold, func(job *batchv1.Job) {
		job.Spec.Parallelism, job.Spec.Completions = new(n), new(n)
		job.Spec.Template.Spec.Containers[0].Resources = oneCPU
	}}, changes...)...)
}
