package core

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"github.com/batchgate/batchgate/test/framework"
)

const (
	// patience bounds everything that is waited for, on a busy machine.
	patience = 2 * time.Minute

	// The annotations that the fake kubelet obeys; see test/framework/stages.yaml.
	holdAnnotation     = "test.batchgate.io/hold"
	exitCodeAnnotation = "test.batchgate.io/exit-code"
)

// session is a user with kubectl in a namespace of the test's own.
type session struct {
	t         *testing.T
	kubectl   framework.Kubectl
	namespace string
}

// takenOver makes sure that v1.batch is taken over.
func takenOver(t *testing.T) {
	t.Helper()
	if err := cluster.TakeOver(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// newSession returns an admin in a new namespace, with v1.batch taken over.
func newSession(t *testing.T) session {
	t.Helper()
	return sessionIn(t, metav1.ObjectMeta{GenerateName: "e2e-"})
}

// sessionIn is newSession in a namespace with that metadata.
func sessionIn(t *testing.T, meta metav1.ObjectMeta) session {
	t.Helper()
	takenOver(t)
	namespaces := cluster.Client.CoreV1().Namespaces()
	var ns *corev1.Namespace
	eventually(t, "have a namespace", func() (err error) {
		ns, err = namespaces.Create(t.Context(), &corev1.Namespace{ObjectMeta: meta}, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) { // that of a former run goes by itself
			t.Fatal(err)
		}
		return err
	})
	t.Cleanup(func() {
		if err := namespaces.Delete(context.Background(), ns.Name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			t.Error(err)
		}
	})
	s := session{t: t, kubectl: cluster.Kubectl(), namespace: ns.Name}
	s.eventually("have a service account for Pods", func() error {
		_, err := cluster.Client.CoreV1().ServiceAccounts(ns.Name).Get(t.Context(), "default", metav1.GetOptions{})
		return err
	})
	return s
}

// as returns the session of another user.
func (s session) as(user string, groups ...string) session {
	s.t.Helper()
	kubectl, err := cluster.KubectlAs(user, groups...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.kubectl = kubectl
	return s
}

// stdin returns the session with a standard input for the next command.
func (s session) stdin(input string) session {
	s.kubectl = s.kubectl.WithStdin(input)
	return s
}

// discovering returns the session with nothing cached of the cluster's discovery.
func (s session) discovering() session {
	s.kubectl = s.kubectl.WithEnv("KUBECACHEDIR", s.t.TempDir())
	return s
}

// try runs kubectl in the session's namespace.
func (s session) try(args ...string) (stdout, stderr string, err error) {
	return s.kubectl.Run(s.t.Context(), append([]string{"--namespace=" + s.namespace}, args...)...)
}

// run runs a command that must succeed, and returns its standard output.
func (s session) run(args ...string) string {
	s.t.Helper()
	stdout, _, err := s.try(args...)
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.TrimSpace(stdout)
}

// refused runs a command that must fail, with all of the texts in its error.
func (s session) refused(args []string, texts ...string) {
	s.t.Helper()
	stdout, _, err := s.try(args...)
	if err == nil {
		s.t.Fatalf("kubectl %s succeeded: %s", strings.Join(args, " "), stdout)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			s.t.Errorf("the error does not say %q: %v", text, err)
		}
	}
}

// field returns the value of a JSONPath of a Job.
func (s session) field(job, path string) string {
	s.t.Helper()
	return s.run("get", "job", job, "--output=jsonpath={"+path+"}")
}

// create creates a Job with kubectl.
func (s session) create(job *batchv1.Job) {
	s.t.Helper()
	s.stdin(manifest(s.t, job)).run("create", "--filename=-")
}

// job returns the Job as it is now.
func (s session) job(name string) *batchv1.Job {
	s.t.Helper()
	job, err := cluster.Client.BatchV1().Jobs(s.namespace).Get(s.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return job
}

// allPods returns the Pods of a Job, with those that are being deleted.
func (s session) allPods(job string) []corev1.Pod {
	s.t.Helper()
	list, err := cluster.Client.CoreV1().Pods(s.namespace).List(s.t.Context(), metav1.ListOptions{LabelSelector: batchv1.JobNameLabel + "=" + job})
	if err != nil {
		s.t.Fatal(err)
	}
	return list.Items
}

// pods returns the Pods of a Job that are not being deleted.
func (s session) pods(job string) []corev1.Pod {
	s.t.Helper()
	return slices.DeleteFunc(s.allPods(job), func(pod corev1.Pod) bool { return pod.DeletionTimestamp != nil })
}

// waitRunning waits until exactly n Pods of the Job run.
func (s session) waitRunning(job string, n int) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("have %d running Pods", n), func() error {
		running := 0
		for _, pod := range s.pods(job) {
			if pod.Status.Phase == corev1.PodRunning {
				running++
			}
		}
		if running != n {
			return fmt.Errorf("%d Pods of %s run", running, job)
		}
		return nil
	})
}

// release lets the Pods of the Job that are held end. Some may be gone meanwhile.
func (s session) release(job string) {
	s.t.Helper()
	_, _, err := s.try("annotate", "pods", "--selector="+batchv1.JobNameLabel+"="+job, holdAnnotation+"-")
	if err != nil && !strings.Contains(err.Error(), "NotFound") {
		s.t.Fatal(err)
	}
}

// finish releases Pods until the Job has the condition.
func (s session) finish(job string, condition batchv1.JobConditionType) {
	s.t.Helper()
	s.eventually("be "+string(condition), func() error {
		s.release(job)
		now := s.job(job)
		for _, c := range now.Status.Conditions {
			if c.Type == condition && c.Status == corev1.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("the status of %s is %+v", job, now.Status)
	})
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

// newJob returns a Job whose Pods are held, with changes made to it.
func newJob(name string, changes ...func(*batchv1.Job)) *batchv1.Job {
	job := &batchv1.Job{
		TypeMeta:   metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"},
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: batchv1.JobSpec{
			Parallelism: ptr.To[int32](1),
			Completions: ptr.To[int32](1),
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{holdAnnotation: ""}},
				Spec: corev1.PodSpec{
					RestartPolicy: corev1.RestartPolicyNever,
					Containers:    []corev1.Container{{Name: "main", Image: "example.com/work:1"}},
				},
			},
		},
	}
	for _, change := range changes {
		change(job)
	}
	return job
}

func manifest(t *testing.T, obj any) string {
	t.Helper()
	content, err := yaml.Marshal(obj)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
