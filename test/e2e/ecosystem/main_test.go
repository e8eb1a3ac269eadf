// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package ecosystem tests programs that change Jobs on Batchgate, with the example policies for them.
// Controllers are built from released modules and installed with the manifests in these modules. The
// tests share a control plane with v1.batch taken over and the real Job controller, except for the test of
// cert-manager, which has its own.
package ecosystem

import (
	"context"
	"testing"

	"github.com/batchgate/batchgate/test/framework"
)

var (
	binaries framework.Binaries
	cluster  *framework.Cluster
)

func TestMain(m *testing.M) {
	framework.Main(m, framework.MainOptions{
		Binaries: &binaries,
		Cluster:  &cluster,
		Setup: func(ctx context.Context, _ string) error {
			if err := cluster.Install(ctx); err != nil {
				return err
			}
			return cluster.TakeOver(ctx)
		},
	})
}
