// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"context"
	"fmt"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// Jobs creates and observes the Jobs of one namespace for a test. A request that fails ends
// the test, except as documented.
type Jobs struct {
	T         testing.TB
	Client    kubernetes.Interface
	Namespace string
	// Timeout bounds each wait.
	Timeout time.Duration
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
