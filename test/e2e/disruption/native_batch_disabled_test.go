// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"fmt"
	"testing"

	"github.com/batchgate/batchgate/test/framework"
)

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
	// Nobody has created v1.batch.
	s.plugin(0, "takeover").has("kube-apiserver does not serve batch/v1 itself")
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

	// After a rollback, no server would serve Jobs.
	s.plugin(2, "rollback").has("Restart every kube-apiserver without that flag first")
	if err := s.checkGated("pi"); err != nil {
		t.Error(err)
	}
	if err := s.RestartKubeAPIServer(t.Context(), s.APIServers[0], "--runtime-config=batch/v1=true"); err != nil {
		t.Fatal(err)
	}
	s.plugin(0, "rollback")
	if err := s.kubectl("annotate", "job", "pi", "by=kube-apiserver"); err != nil {
		t.Error(err)
	}
}
