package framework

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"
)

// Annotations of Pods that the fake kubelet reads; see stages.yaml.
const (
	// HoldAnnotation keeps the Pod of a Job running until the annotation is removed.
	HoldAnnotation = "test.batchgate.io/hold"
	// ExitCodeAnnotation is the exit code of the Pod of a Job, 0 by default.
	ExitCodeAnnotation = "test.batchgate.io/exit-code"
)

// Jobs creates and observes the Jobs of one namespace for a test. A request that fails ends
// the test, except as documented.
type Jobs struct {
	T         *testing.T
	Client    kubernetes.Interface
	Namespace string
	// Timeout bounds each wait.
	Timeout time.Duration
}

// NewJob returns a Job with one Pod that succeeds as soon as it runs. Its maps are not nil.
func NewJob(name string, changes ...func(*batchv1.Job)) *batchv1.Job {
	job := &batchv1.Job{
		TypeMeta:   metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{}, Annotations: map[string]string{}},
		Spec: batchv1.JobSpec{
			Parallelism: ptr.To[int32](1),
			Completions: ptr.To[int32](1),
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{}, Annotations: map[string]string{}},
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

// Hold keeps the Pods of a Job running until Release.
func Hold(job *batchv1.Job) { job.Spec.Template.Annotations[HoldAnnotation] = "" }

// HasCondition reports whether a condition of a Job is true.
func HasCondition(status *batchv1.JobStatus, condition batchv1.JobConditionType) bool {
	return slices.ContainsFunc(status.Conditions, func(c batchv1.JobCondition) bool {
		return c.Type == condition && c.Status == corev1.ConditionTrue
	})
}

// CheckCondition returns an error unless a condition of the Job is true.
func CheckCondition(job *batchv1.Job, condition batchv1.JobConditionType) error {
	if !HasCondition(&job.Status, condition) {
		return fmt.Errorf("Job %s is not %s: %+v", job.Name, condition, job.Status)
	}
	return nil
}

// CreateNamespace creates a namespace, waits until Pods can run in it, and returns its name.
// If the namespace exists, CreateNamespace waits for its deletion by an earlier test.
func (j Jobs) CreateNamespace(meta metav1.ObjectMeta) string {
	j.T.Helper()
	var created *corev1.Namespace
	j.Eventually("create a namespace", func() (err error) {
		created, err = j.Client.CoreV1().Namespaces().Create(j.T.Context(), &corev1.Namespace{ObjectMeta: meta}, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			j.T.Fatal(err)
		}
		return err
	})
	j.Eventually("see the service account of Pods", func() error {
		_, err := j.Client.CoreV1().ServiceAccounts(created.Name).Get(j.T.Context(), "default", metav1.GetOptions{})
		return err
	})
	return created.Name
}

// DeleteNamespaceAfterTest deletes the namespace when the test ends, without waiting.
func (j Jobs) DeleteNamespaceAfterTest() {
	j.T.Cleanup(func() {
		err := j.Client.CoreV1().Namespaces().Delete(context.Background(), j.Namespace, metav1.DeleteOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			j.T.Error(err)
		}
	})
}

// Create creates a Job and returns the stored one.
func (j Jobs) Create(job *batchv1.Job) *batchv1.Job {
	j.T.Helper()
	created, err := j.Client.BatchV1().Jobs(j.Namespace).Create(j.T.Context(), job, metav1.CreateOptions{})
	if err != nil {
		j.T.Fatal(err)
	}
	return created
}

// Get reads a Job.
func (j Jobs) Get(name string) *batchv1.Job {
	j.T.Helper()
	job, err := j.Client.BatchV1().Jobs(j.Namespace).Get(j.T.Context(), name, metav1.GetOptions{})
	if err != nil {
		j.T.Fatal(err)
	}
	return job
}

// Pods lists the Pods of a Job, including Pods that are being deleted.
func (j Jobs) Pods(name string) []corev1.Pod {
	j.T.Helper()
	pods, err := j.listPods(name)
	if err != nil {
		j.T.Fatal(err)
	}
	return pods
}

func (j Jobs) listPods(name string) ([]corev1.Pod, error) {
	list, err := j.Client.CoreV1().Pods(j.Namespace).List(j.T.Context(), metav1.ListOptions{LabelSelector: batchv1.JobNameLabel + "=" + name})
	if err != nil {
		return nil, err
	}
	return list.Items, nil
}

// PodUIDs returns the UIDs of the Pods of a Job by name.
func (j Jobs) PodUIDs(name string) map[string]types.UID {
	j.T.Helper()
	uids := map[string]types.UID{}
	for _, pod := range j.Pods(name) {
		uids[pod.Name] = pod.UID
	}
	return uids
}

// Release lets the held Pods of a Job end. It returns the error of a failed request.
func (j Jobs) Release(name string) error {
	pods, err := j.listPods(name)
	if err != nil {
		return err
	}
	patch := fmt.Appendf(nil, `{"metadata": {"annotations": {%q: null}}}`, HoldAnnotation)
	for _, pod := range pods {
		if _, held := pod.Annotations[HoldAnnotation]; !held {
			continue
		}
		_, err := j.Client.CoreV1().Pods(j.Namespace).Patch(j.T.Context(), pod.Name, types.MergePatchType, patch, metav1.PatchOptions{})
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return nil
}

// Wait waits until a condition of the Job is true.
func (j Jobs) Wait(name string, condition batchv1.JobConditionType) {
	j.T.Helper()
	j.Eventually(fmt.Sprintf("see Job %s become %s", name, condition), func() error {
		return CheckCondition(j.Get(name), condition)
	})
}

// Finish releases held Pods, including replacements, until a condition of the Job is true.
func (j Jobs) Finish(name string, condition batchv1.JobConditionType) {
	j.T.Helper()
	j.Eventually(fmt.Sprintf("see Job %s become %s", name, condition), func() error {
		if err := j.Release(name); err != nil {
			return err
		}
		return CheckCondition(j.Get(name), condition)
	})
}

// Eventually polls check until it returns nil; see the function of the same name.
func (j Jobs) Eventually(description string, check func() error) {
	j.T.Helper()
	Eventually(j.T, j.Timeout, description, check)
}
