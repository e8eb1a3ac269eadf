// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"math"
	"os"
	"runtime/debug"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"k8s.io/klog/v2"

	"github.com/batchgate/batchgate/pkg/apis/policy"
)

// gcPercent is the growth of the heap, in percent of the live one, until the next garbage collection,
// if there is a memory limit. Go's default is 100. The limit bounds the heap: close to it, Go collects more
// often. docs/design/0054-heap-grows-to-the-limit.md has the reasons.
const gcPercent = 400

// setMemoryLimit sets Go's memory limit to a share of the container's memory limit, if it has one and
// GOMEMLIMIT is not set. With a limit, it also lets the heap grow further between garbage collections,
// unless GOGC is set.
func setMemoryLimit() {
	limit, err := memlimit.Set(memlimit.WithRatio(policy.MemoryLimitShare))
	if err != nil {
		klog.ErrorS(err, "Failed to read the memory limit of the container, continuing without a limit for garbage collection")
	} else {
		klog.V(2).InfoS("Set the memory limit for garbage collection", "bytes", limit)
	}
	if limited := debug.SetMemoryLimit(-1) != math.MaxInt64; limited && os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}
