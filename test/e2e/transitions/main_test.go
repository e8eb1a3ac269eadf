// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package transitions tests every change of completions, parallelism and selector with a real Job
// controller: all combinations of mode, feature, state and change. A simple model of the Job controller
// predicts which changes the server rejects, and how the Job ends after the others.
// docs/generated/transitions.md lists its predictions.
package transitions

import (
	"context"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	"github.com/batchgate/batchgate/pkg/generated/clientset/versioned"
	"github.com/batchgate/batchgate/test/framework"
)

func TestMain(m *testing.M) { framework.Main(m, framework.MainOptions{Parallel: 48}) }

// startCluster starts a control plane, takes over v1.batch, and creates a policy that lets everyone
// suspend and resume Jobs. The control plane stops with the test.
func startCluster(t *testing.T) *framework.Cluster {
	t.Helper()
	binaries, err := framework.Build(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := framework.StartTestCluster(t, binaries, framework.ClusterOptions{
		// With the default limits, the tests would wait for the controllers most of the time.
		ControllerManagerArgs: []string{"--kube-api-qps=500", "--kube-api-burst=1000", "--concurrent-job-syncs=20"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []func(context.Context) error{cluster.Install, cluster.TakeOver, cluster.WaitForPolicyAPI} {
		if err := step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	client, err := versioned.NewForConfig(cluster.Config)
	if err != nil {
		t.Fatal(err)
	}
	policy := &v1alpha1.JobUpdatePolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "suspend"},
		Spec:       v1alpha1.JobUpdatePolicySpec{Fields: []string{"spec.suspend"}},
	}
	if _, err := client.PolicyV1alpha1().JobUpdatePolicies().Create(t.Context(), policy, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return cluster
}
