// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package core tests Batchgate in front of a real control plane, under the RBAC of the manifests and
// mostly with kubectl as the client. It covers what every change may break: updatable and denied
// fields, Jobs that run, deletion, admission, authorization, OpenAPI, takeover and rollback. Tests
// that change the whole cluster run one at a time; the other tests run in parallel after them.
package core

import (
	"context"
	"testing"

	"github.com/batchgate/batchgate/test/e2e/internal/session"
	"github.com/batchgate/batchgate/test/framework"
)

var (
	cluster  *framework.Cluster
	binaries framework.Binaries

	// publishedBefore is what kube-apiserver published before Batchgate was installed.
	publishedBefore documents
)

func TestMain(m *testing.M) {
	session.Main(m, framework.MainOptions{
		Binaries: &binaries,
		Cluster:  &cluster,
		Setup: func(ctx context.Context, _ string) (err error) {
			publishedBefore, err = waitDocuments(ctx)
			return err
		},
	})
}
