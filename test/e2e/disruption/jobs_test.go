// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/test/framework"
)

// jobs returns the helpers for Jobs in the scenario's namespace.
func (s *scenario) jobs() framework.Jobs {
	return framework.Jobs{T: s.t, Client: s.Client, Namespace: s.namespace, Timeout: waitTimeout}
}

// checkComplete returns an error unless the Job is complete.
func (s *scenario) checkComplete(name string) error {
	job, err := s.Client.BatchV1().Jobs(s.namespace).Get(s.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	return framework.CheckCondition(job, batchv1.JobComplete)
}

// awaitComplete waits until the Job is complete. It tolerates failed requests.
func (s *scenario) awaitComplete(name string) {
	s.t.Helper()
	s.eventually("complete Job "+name, func() error { return s.checkComplete(name) })
}

// runJob creates a Job and waits until it is complete. It needs a Job controller that sees new
// Jobs.
func (s *scenario) runJob(name string) {
	s.t.Helper()
	s.jobs().Create(framework.NewJob(name))
	s.awaitComplete(name)
}

// createHeld creates a Job and waits until its Pods run. They run until release.
func (s *scenario) createHeld(name string, parallelism, completions int32) {
	s.t.Helper()
	job := framework.NewJob(name, framework.Hold)
	job.Spec.Parallelism, job.Spec.Completions = &parallelism, &completions
	s.jobs().Create(job)
	s.eventually("run the Pods of Job "+name, func() error {
		if status := s.jobs().Get(name).Status; status.Ready == nil || *status.Ready != parallelism {
			return fmt.Errorf("the status is %+v", status)
		}
		return nil
	})
}

// release lets the held Pods of a Job succeed, including replacements, and waits until the Job is
// complete. It tolerates failed requests.
func (s *scenario) release(name string) {
	s.t.Helper()
	s.eventually("complete Job "+name, func() error {
		if err := s.jobs().Release(name); err != nil {
			return err
		}
		return s.checkComplete(name)
	})
}
