package session

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// Annotations of Pods that control the fake kubelet; see test/framework/stages.yaml.
const (
	// HoldAnnotation keeps a Pod running until the annotation is removed.
	HoldAnnotation = "test.batchgate.io/hold"
	// ExitCodeAnnotation is the exit code of the Pod's container.
	ExitCodeAnnotation = "test.batchgate.io/exit-code"
)

// NewJob returns a Job with one completion whose Pods are held, after applying changes.
func NewJob(name string, changes ...func(*batchv1.Job)) *batchv1.Job {
	job := &batchv1.Job{
		TypeMeta:   metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"},
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: batchv1.JobSpec{
			Parallelism: ptr.To[int32](1),
			Completions: ptr.To[int32](1),
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{HoldAnnotation: ""}},
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
	job, err := s.Cluster.Client.BatchV1().Jobs(s.Namespace).Get(s.T.Context(), name, metav1.GetOptions{})
	if err != nil {
		s.T.Fatal(err)
	}
	return job
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
	if left := s.allPods(job); len(left) > 0 {
		return fmt.Errorf("%d Pods of Job %s still exist", len(left), job)
	}
	return nil
}

// allPods includes terminating Pods.
func (s Session) allPods(job string) []corev1.Pod {
	s.T.Helper()
	list, err := s.Cluster.Client.CoreV1().Pods(s.Namespace).List(s.T.Context(), metav1.ListOptions{LabelSelector: batchv1.JobNameLabel + "=" + job})
	if err != nil {
		s.T.Fatal(err)
	}
	return list.Items
}

// Pods returns the Pods of a Job that are not terminating.
func (s Session) Pods(job string) []corev1.Pod {
	s.T.Helper()
	return slices.DeleteFunc(s.allPods(job), func(pod corev1.Pod) bool { return pod.DeletionTimestamp != nil })
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

// FinishJob releases the Pods of a Job, including Pods that are created meanwhile, until the Job
// has the condition.
func (s Session) FinishJob(job string, condition batchv1.JobConditionType) {
	s.T.Helper()
	s.Eventually(fmt.Sprintf("see Job %s with condition %s", job, condition), func() error {
		s.releasePods(job)
		status := s.Job(job).Status
		for _, c := range status.Conditions {
			if c.Type == condition && c.Status == corev1.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("status is %+v", status)
	})
}

// releasePods lets the held Pods of a Job end.
func (s Session) releasePods(job string) {
	s.T.Helper()
	_, _, err := s.Try("annotate", "pods", "--selector="+batchv1.JobNameLabel+"="+job, HoldAnnotation+"-")
	// A Pod may be deleted between kubectl's list and its patch.
	if err != nil && !strings.Contains(err.Error(), "NotFound") {
		s.T.Fatal(err)
	}
}
