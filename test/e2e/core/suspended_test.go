// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package core

import (
	"fmt"
	"testing"

	batchv1 "k8s.io/api/batch/v1"

	"github.com/batchgate/batchgate/test/e2e/internal/session"
	"github.com/batchgate/batchgate/test/framework"
)

// A suspended Job has no start time, and Kubernetes' validation rejects the completion of a Job without
// one. So Batchgate does not let completions of a suspended Job drop to the number of succeeded Pods.
func TestSuspendedJobNotCompletedByCompletions(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	s.CreatePolicy(s.NewPolicy("suspend", session.Fields("spec.suspend")))
	s.CreateJob(session.NewJob("pi", func(job *batchv1.Job) {
		job.Spec.Parallelism, job.Spec.Completions = new(int32(2)), new(int32(5))
	}))
	succeeded(2, 2)(s)
	s.RunEventually(session.MergePatch("pi", `{"spec": {"suspend": true}}`)...)
	s.Run("wait", "job", "pi", "--for=condition=Suspended", "--timeout=110s")
	s.Eventually("have the Pods stopped", func() error {
		if active := s.Job("pi").Status.Active; active != 0 {
			return fmt.Errorf("%d Pods are active", active)
		}
		return nil
	})
	if start := s.Job("pi").Status.StartTime; start != nil {
		if !framework.ControlPlaneIs("1.35") {
			t.Fatalf("suspended Job has start time %s; if Kubernetes changed this, the restriction may be obsolete", start)
		}
		// Kubernetes 1.35 keeps the start time, so that the Job can complete.
		s.Run(session.MergePatch("pi", `{"spec": {"completions": 2}}`)...)
		s.Run("wait", "job", "pi", "--for=condition=Complete", "--timeout=110s")
		return
	}
	for _, completions := range []string{"2", "1", "null"} {
		s.ExpectError(session.MergePatch("pi", `{"spec": {"completions": `+completions+`}}`), "spec.completions: Forbidden: must be greater than the 2 that have succeeded while the Job is suspended")
	}
	s.Run(session.MergePatch("pi", `{"spec": {"completions": 3}}`)...)
	s.Run(session.MergePatch("pi", `{"spec": {"suspend": false}}`)...)
	s.FinishJob("pi", batchv1.JobComplete)
	if got := s.Job("pi").Status.Succeeded; got != 3 {
		t.Errorf("%d Pods have succeeded, want 3", got)
	}
}
