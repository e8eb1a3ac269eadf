// Package upstream runs Kubernetes' own end-to-end tests of batch/v1 on two control planes: an unmodified
// one, and one that Batchgate has taken over. docs/upstream-tests.md lists the results.
package upstream

import (
	"context"
	_ "embed"
	"flag"
	"fmt"
	"os"
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
	flag.Parse()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "batchgate-upstream-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	if upstreamTests, err = framework.BuildUpstreamTests(context.Background()); err != nil {
		return 1, err
	}
	if binaries, err = framework.Build(context.Background(), dir); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// startCluster starts a control plane with the features that the specs need. It stops with the test.
func startCluster(t *testing.T) (*framework.Cluster, error) {
	cluster, err := framework.StartClusterWith(t.Context(), t.TempDir(), binaries, framework.Features{
		Gates:  "GenericWorkload=true,WorkloadWithJob=true",
		APIs:   "scheduling.k8s.io/v1beta1=true",
		Stages: stages,
	})
	t.Cleanup(func() {
		if err := cluster.Stop(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Log(cluster.LogEnds())
		}
	})
	if err != nil {
		return nil, err
	}
	return cluster, startHostPathFiles(t.Context(), cluster.Client)
}
