// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package outage tests what clients see when kube-apiserver or Batchgate is stopped, and that the
// cluster recovers without help. It takes minutes, so it is not part of make test.
package outage

import (
	"testing"

	"github.com/batchgate/batchgate/test/e2e/internal/session"
	"github.com/batchgate/batchgate/test/framework"
)

var cluster *framework.Cluster

func TestMain(m *testing.M) {
	session.Main(m, framework.MainOptions{Cluster: &cluster})
}
