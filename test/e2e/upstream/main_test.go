// Package upstream runs Kubernetes' own end-to-end tests of batch/v1 on two control planes:
// one as it is, and one that Batchgate has taken over. See docs/conformance.md.
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
	binaries framework.Binaries
	upstream framework.UpstreamTests
)

func TestMain(m *testing.M) {
	framework.Main(m, framework.MainOptions{
		Binaries: &binaries,
		Setup: func(ctx context.Context, _ string) (err error) {
			upstream, err = framework.BuildUpstreamTests(ctx)
			return err
		},
	})
}

// start starts a control plane that ends with the test, with what the specs ask for.
func start(t *testing.T) (*framework.Cluster, error) {
	cluster, err := framework.StartTestCluster(t, binaries, framework.Features{
		Gates:  "GenericWorkload=true,WorkloadWithJob=true",
		APIs:   "scheduling.k8s.io/v1beta1=true",
		Stages: stages,
	})
	if err != nil {
		return nil, err
	}
	return cluster, playDisk(t.Context(), cluster.Client)
}
