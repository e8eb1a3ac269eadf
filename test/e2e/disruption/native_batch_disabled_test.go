// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"fmt"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"

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
	s.inNamespace(t, "features").checkControllers()
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

// checkControllers checks what the cluster's controllers do with Jobs: quota, garbage collection, and the
// deletion of the namespace, which it ends with. They find the resources of batch/v1 by discovery.
func (s *scenario) checkControllers() {
	s.t.Helper()
	run := func(args ...string) {
		s.t.Helper()
		if err := s.kubectl(args...); err != nil {
			s.t.Fatal(err)
		}
	}
	// The quota controller looks for new resources every 30 seconds. Then it does not look at older quotas, as
	// for any resource that is new to a cluster.
	s.eventually("have the usage in the status of a quota", func() error {
		if err := s.kubectl("delete", "quota", "jobs", "--ignore-not-found"); err != nil {
			return err
		}
		if err := s.kubectl("create", "quota", "jobs", "--hard=count/jobs.batch=1"); err != nil {
			return err
		}
		return s.kubectl("wait", "quota", "jobs", "--for=jsonpath={.status.used}", "--timeout=5s")
	})
	// The server needs a moment to notice the status.
	s.eventually("create a Job under the quota", func() error { return s.kubectl("create", "job", "first", "--image=pi") })
	if err := s.kubectl("create", "job", "second", "--image=pi"); err == nil || !strings.Contains(err.Error(), "exceeded quota: jobs") {
		s.t.Errorf("a second Job got %v", err)
	}
	got, _, err := s.Kubectl().WithEnv("KUBECACHEDIR", s.t.TempDir()).Run(s.t.Context(), "--namespace="+s.namespace, "get", "jobs", "--output=name")
	if err != nil || strings.TrimSpace(got) != "job.batch/first" {
		s.t.Errorf("kubectl without cached discovery: %q, %v", got, err)
	}
	run("delete", "job", "first", "--cascade=foreground", "--timeout=2m")
	run("delete", "quota", "jobs")
	run("create", "job", "third", "--image=pi")
	run("delete", "namespace", s.namespace, "--timeout=2m")
	left, err := s.clusterEtcd().Get(s.t.Context(), s.etcdKey("jobs", ""), clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil || left.Count > 0 {
		s.t.Errorf("%d Jobs are left after their namespace: %v", left.Count, err)
	}
}
