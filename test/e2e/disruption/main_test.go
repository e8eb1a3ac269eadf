// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package disruption tests what happens to Jobs when parts of a cluster fail, restart or change.
// Each test has its own control plane, disrupts it under load, and then reads etcd directly to
// check that no write was lost.
package disruption

import (
	"testing"

	"github.com/batchgate/batchgate/test/framework"
)

// parallelTests is the number of control planes that run at the same time. Each needs about 1 GiB
// of memory.
const parallelTests = 3

var binaries framework.Binaries

func TestMain(m *testing.M) {
	framework.Main(m, framework.MainOptions{Parallel: parallelTests, Binaries: &binaries})
}
