// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"fmt"
	"testing"

	"github.com/batchgate/batchgate/test/framework"
)

// batchAPIService is the v1.batch that an admin must create if kube-apiserver does not serve
// batch/v1 itself. TakeOver sets the CA bundle and the port.
const batchAPIService = `{"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": "v1.batch"},
	"spec": {"group": "batch", "version": "v1", "groupPriorityMinimum": 17400, "versionPriority": 15,
		"service": {"namespace": %q, "name": %q, "port": 443}}}`

// mutatingPolicy labels each new Job.
const mutatingPolicy = `
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata:
  name: label-jobs
spec:
  matchConstraints:
    resourceRules:
    - {apiGroups: [batch], apiVersions: [v1], resources: [jobs], operations: [CREATE]}
  failurePolicy: Fail
  reinvocationPolicy: Never
  mutations:
  - patchType: ApplyConfiguration
    applyConfiguration:
      expression: 'Object{metadata: Object.metadata{labels: {"mutated": "true"}}}'
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata:
  name: label-jobs
spec:
  policyName: label-jobs
`

// A starting kube-apiserver serves batch/v1 itself until its aggregator has read the
// APIServices. If batch/v1 is disabled there, no update bypasses the gate, not even at the first
// moment.
func TestNativeBatchDisabledAlwaysGated(t *testing.T) {
	t.Parallel()
	s := start(t, framework.ClusterOptions{RuntimeConfig: "batch/v1=false"})
	s.install()
	manifest := fmt.Sprintf(batchAPIService, framework.Namespace, framework.Name)
	if _, _, err := s.Kubectl().WithStdin(manifest).Run(t.Context(), "create", "--filename=-"); err != nil {
		t.Fatal(err)
	}
	s.takeOver()
	if _, _, err := s.Kubectl().WithStdin(mutatingPolicy).Run(t.Context(), "create", "--filename=-"); err != nil {
		t.Fatal(err)
	}
	s.eventually("apply a mutating policy", func() error {
		got, _, err := s.Kubectl().Run(t.Context(), "create", "job", "mutated", "--image=pi", "--dry-run=server", "--output=jsonpath={.metadata.labels.mutated}")
		if err == nil && got != "true" {
			err = fmt.Errorf("label mutated is %q", got)
		}
		return err
	})
	s.createHeld("pi", 1, 2)
	for range 2 {
		if err := s.APIServer.Stop(); err != nil {
			t.Fatal(err)
		}
		accepted, denied := s.hammer("pi", func() {
			if err := s.StartAPIServer(t.Context()); err != nil {
				t.Error(err)
			}
			s.eventually("be gated", func() error { return s.checkGated("pi") })
		})
		t.Logf("%d forbidden updates were accepted, the gate denied %d", accepted, denied)
		if accepted > 0 {
			t.Error("kube-apiserver served batch/v1 itself")
		}
	}
	s.release("pi")
}
