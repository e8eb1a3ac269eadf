// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// Annotations of Pods that the fake kubelet reads; see stages.yaml.
const (
	// HoldAnnotation keeps the Pod of a Job running until the annotation is removed.
	HoldAnnotation = "test.batchgate.io/hold"
	// ExitCodeAnnotation is the exit code of the Pod of a Job, 0 by default.
	ExitCodeAnnotation = "test.batchgate.io/exit-code"
)

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
		return fmt.Errorf("the Job %s is not %s: %+v", job.Name, condition, job.Status)
	}
	return nil
}
