// Package ecosystem tests Kueue and JobSet on Batchgate, with the example policies for them. Both
// controllers are built from released modules and installed with the manifests in these modules. All tests
// share one control plane with v1.batch taken over and the real Job controller.
package ecosystem

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/batchgate/batchgate/test/framework"
)

var cluster *framework.Cluster

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
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "batchgate-ecosystem-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	binaries, err := framework.Build(ctx, dir)
	if err != nil {
		return 1, err
	}
	cluster, err = framework.StartCluster(ctx, dir, binaries)
	defer func() {
		if stopErr := cluster.Stop(); err == nil {
			err = stopErr
		}
		if code != 0 || err != nil {
			fmt.Fprint(os.Stderr, cluster.LogEnds())
		}
	}()
	if err != nil {
		return 1, err
	}
	if err := cluster.Install(ctx); err != nil {
		return 1, err
	}
	if err := cluster.TakeOver(ctx); err != nil {
		return 1, err
	}
	return m.Run(), nil
}
