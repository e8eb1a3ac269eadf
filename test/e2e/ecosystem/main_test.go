// Package ecosystem tests Batchgate under controllers of others that drive Jobs, as they are
// released and installed: Kueue and JobSet, which are built from their modules, with the
// manifests in them. There is one control plane for all tests, with v1.batch taken over, and
// Jobs run to their end in it by the real Job controller.
package ecosystem

import (
	"context"
	"testing"

	"github.com/batchgate/batchgate/test/framework"
)

var cluster *framework.Cluster

func TestMain(m *testing.M) {
	framework.Main(m, framework.MainOptions{
		Cluster: &cluster,
		Setup: func(ctx context.Context, _ string) error {
			if err := cluster.Install(ctx); err != nil {
				return err
			}
			return cluster.TakeOver(ctx)
		},
	})
}
