package disruption

import (
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
)

// holdAnnotation keeps a Pod running on the fake node until the annotation is removed.
const holdAnnotation = "test.batchgate.io/hold"

// newJob returns a Job with one Pod, which succeeds by itself.
func newJob(name string) *batchv1.Job {
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: batchv1.JobSpec{
			Parallelism: ptr.To[int32](1),
			Completions: ptr.To[int32](1),
			Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
				RestartPolicy: corev1.RestartPolicyNever,
				Containers:    []corev1.Container{{Name: "main", Image: "example.com/work:1"}},
			}},
		},
	}
}

func (s *scenario) create(job *batchv1.Job) {
	s.t.Helper()
	if _, err := s.Client.BatchV1().Jobs(s.namespace).Create(s.t.Context(), job, metav1.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scenario) job(name string) *batchv1.Job {
	s.t.Helper()
	job, err := s.Client.BatchV1().Jobs(s.namespace).Get(s.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return job
}

// checkComplete returns an error unless the Job is complete.
func (s *scenario) checkComplete(name string) error {
	job, err := s.Client.BatchV1().Jobs(s.namespace).Get(s.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, c := range job.Status.Conditions {
		if c.Type == batchv1.JobComplete && c.Status == corev1.ConditionTrue {
			return nil
		}
	}
	return fmt.Errorf("the status of Job %s is %+v", name, job.Status)
}

func (s *scenario) awaitComplete(name string) {
	s.t.Helper()
	s.eventually("complete Job "+name, func() error { return s.checkComplete(name) })
}

// runJob creates a Job and waits until it is complete. It needs a Job controller that sees new
// Jobs.
func (s *scenario) runJob(name string) {
	s.t.Helper()
	s.create(newJob(name))
	s.awaitComplete(name)
}

// createHeld creates a Job and waits until its Pods run. They run until release.
func (s *scenario) createHeld(name string, parallelism, completions int32) {
	s.t.Helper()
	job := newJob(name)
	job.Spec.Parallelism, job.Spec.Completions = &parallelism, &completions
	job.Spec.Template.Annotations = map[string]string{holdAnnotation: ""}
	s.create(job)
	s.eventually("run the Pods of Job "+name, func() error {
		if status := s.job(name).Status; status.Ready == nil || *status.Ready != parallelism {
			return fmt.Errorf("the status is %+v", status)
		}
		return nil
	})
}

// release lets the held Pods of a Job succeed, including those that the Job controller creates
// meanwhile, and waits until the Job is complete.
func (s *scenario) release(name string) {
	s.t.Helper()
	pods := s.Client.CoreV1().Pods(s.namespace)
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:null}}}`, holdAnnotation)
	s.eventually("complete Job "+name, func() error {
		list, err := pods.List(s.t.Context(), podsOf(name))
		if err != nil {
			return err
		}
		for _, pod := range list.Items {
			if _, err := pods.Patch(s.t.Context(), pod.Name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
				return err
			}
		}
		return s.checkComplete(name)
	})
}

// podUIDs returns the UIDs of the Pods of a Job by Pod name.
func (s *scenario) podUIDs(job string) map[string]types.UID {
	s.t.Helper()
	pods, err := s.Client.CoreV1().Pods(s.namespace).List(s.t.Context(), podsOf(job))
	if err != nil {
		s.t.Fatal(err)
	}
	uids := map[string]types.UID{}
	for _, pod := range pods.Items {
		uids[pod.Name] = pod.UID
	}
	return uids
}

func podsOf(job string) metav1.ListOptions {
	return metav1.ListOptions{LabelSelector: batchv1.JobNameLabel + "=" + job}
}
