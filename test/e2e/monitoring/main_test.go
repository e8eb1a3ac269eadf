// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package monitoring tests the component artifacts/components/monitoring: its alerts and dashboard
// against the metrics of real servers, and the permissions to scrape them.
package monitoring

import (
	"testing"

	"github.com/batchgate/batchgate/test/e2e/internal/session"
	"github.com/batchgate/batchgate/test/framework"
)

var cluster *framework.Cluster

func TestMain(m *testing.M) {
	session.Main(m, framework.MainOptions{Cluster: &cluster})
}
