// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package upstream runs Kubernetes' own end-to-end tests of batch/v1 on two control planes: an unmodified
// one, and one that Batchgate has taken over. docs/generated/upstream-tests.md lists the results.
package upstream

import (
	"context"
	_ "embed"
	"testing"

	"github.com/batchgate/batchgate/test/framework"
)

//go:embed stages.yaml
var stages []byte

var (
	binaries      framework.Binaries
	upstreamTests framework.UpstreamTests
)

func TestMain(m *testing.M) {
	framework.Main(m, framework.MainOptions{
		Binaries: &binaries,
		Setup: func(ctx context.Context, _ string) (err error) {
			upstreamTests, err = framework.BuildUpstreamTests(ctx)
			return err
		},
	})
}

// startCluster starts a control plane with the features that the specs need. It stops with the test.
// Older versions lack the API of workloads, and the specs for it.
func startCluster(t *testing.T) (*framework.Cluster, error) {
	options := framework.ClusterOptions{KwokStages: stages}
	if binaries.Kubernetes == "" {
		options.FeatureGates = "GenericWorkload=true,WorkloadWithJob=true"
		options.RuntimeConfig = "scheduling.k8s.io/v1beta1=true"
	}
	cluster, err := framework.StartTestCluster(t, binaries, options)
	if err != nil {
		return nil, err
	}
	return cluster, startHostPathFiles(t.Context(), cluster.Client)
}
