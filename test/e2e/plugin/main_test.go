// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package plugin tests kubectl batchgate: takeover, rollback, status and certificates.
package plugin

import (
	"testing"

	"github.com/batchgate/batchgate/test/e2e/internal/session"
	"github.com/batchgate/batchgate/test/framework"
)

var cluster *framework.Cluster

func TestMain(m *testing.M) {
	session.Main(m, framework.MainOptions{Cluster: &cluster})
}
