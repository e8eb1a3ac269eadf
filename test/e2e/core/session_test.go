package core

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/batchgate/batchgate/test/framework"
)

// patience bounds everything that is waited for, on a busy machine.
const patience = 2 * time.Minute

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
	s := session{t: t, kubectl: cluster.Kubectl()}
	s.namespace = s.jobs().CreateNamespace(meta)
	s.jobs().DeleteNamespaceAfterTest()
	return s
}

// jobs returns the helpers for the Jobs of the session's namespace.
func (s session) jobs() framework.Jobs {
	return framework.Jobs{T: s.t, Client: cluster.Client, Namespace: s.namespace, Timeout: patience}
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
	return s.jobs().Get(name)
}

// allPods returns the Pods of a Job, with those that are being deleted.
func (s session) allPods(job string) []corev1.Pod {
	s.t.Helper()
	return s.jobs().Pods(job)
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
	if err := s.jobs().Release(job); err != nil {
		s.t.Fatal(err)
	}
}

// finish releases Pods until the Job has the condition.
func (s session) finish(job string, condition batchv1.JobConditionType) {
	s.t.Helper()
	s.jobs().Finish(job, condition)
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
	return framework.NewJob(name, append([]func(*batchv1.Job){framework.Hold}, changes...)...)
}

func manifest(t *testing.T, obj any) string {
	t.Helper()
	content, err := yaml.Marshal(obj)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
