package ecosystem

import (
	"context"
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
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/test/framework"
)

const (
	// waitTimeout is long enough for a busy machine, and for the backoff of controllers after denials.
	waitTimeout = 3 * time.Minute

	// Annotations for the fake kubelet, see test/framework/stages.yaml.
	holdAnnotation     = "test.batchgate.io/hold"
	exitCodeAnnotation = "test.batchgate.io/exit-code"
)

// session accesses the cluster as admin, in a namespace that belongs to the test.
type session struct {
	t         *testing.T
	namespace string
}

func newSession(t *testing.T) session {
	t.Helper()
	namespaces := cluster.Client.CoreV1().Namespaces()
	ns, err := namespaces.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "ecosystem-"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := namespaces.Delete(context.Background(), ns.Name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	s := session{t: t, namespace: ns.Name}
	s.eventually("have a service account for Pods", func() error {
		_, err := cluster.Client.CoreV1().ServiceAccounts(ns.Name).Get(t.Context(), "default", metav1.GetOptions{})
		return err
	})
	return s
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
	job, err := cluster.Client.BatchV1().Jobs(s.namespace).Create(s.t.Context(), job, metav1.CreateOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return job
}

func (s session) job(name string) *batchv1.Job {
	s.t.Helper()
	job, err := cluster.Client.BatchV1().Jobs(s.namespace).Get(s.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return job
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
	list, err := cluster.Client.CoreV1().Pods(s.namespace).List(s.t.Context(), metav1.ListOptions{LabelSelector: batchv1.JobNameLabel + "=" + job})
	if err != nil {
		s.t.Fatal(err)
	}
	return list.Items
}

func (s session) podUIDs(job string) map[types.UID]bool {
	s.t.Helper()
	uids := map[types.UID]bool{}
	for _, pod := range s.pods(job) {
		uids[pod.UID] = true
	}
	return uids
}

// awaitRunning waits until the Job has n Pods, all running.
func (s session) awaitRunning(job string, n int) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("have %d running Pods", n), func() error {
		pods := s.pods(job)
		for _, pod := range pods {
			if pod.DeletionTimestamp != nil || pod.Status.Phase != corev1.PodRunning {
				return fmt.Errorf("a Pod of %s is %s or terminating", job, pod.Status.Phase)
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
	s.run("annotate", "pods", "--selector="+batchv1.JobNameLabel+"="+job, holdAnnotation+"-")
}

// finish releases Pods until the Job is Complete.
func (s session) finish(job string) {
	s.t.Helper()
	s.eventually("be complete", func() error {
		now := s.job(job)
		for _, c := range now.Status.Conditions {
			if c.Type == batchv1.JobComplete && c.Status == corev1.ConditionTrue {
				return nil
			}
		}
		s.release(job)
		return fmt.Errorf("the status of %s is %+v", job, now.Status)
	})
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
	job := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{}, Annotations: map[string]string{}},
		Spec: batchv1.JobSpec{
			Parallelism: ptr.To(n),
			Completions: ptr.To(n),
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{holdAnnotation: ""}},
				Spec: corev1.PodSpec{
					RestartPolicy: corev1.RestartPolicyNever,
					Containers:    []corev1.Container{{Name: "main", Image: "example.com/work:1", Resources: oneCPU}},
				},
			},
		},
	}
	for _, change := range changes {
		change(job)
	}
	return job
}
