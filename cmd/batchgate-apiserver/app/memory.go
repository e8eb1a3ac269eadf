// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"github.com/KimMachineGun/automemlimit/memlimit"
	"k8s.io/klog/v2"
)

// setMemoryLimit sets Go's memory limit to 90% of the container's memory limit, if it has one, so
// that garbage collection runs more often close to the limit. It does not change a limit that
// GOMEMLIMIT sets.
func setMemoryLimit() {
	limit, err := memlimit.Set()
	if err != nil {
		klog.ErrorS(err, "Failed to read the memory limit of the container, continuing without a limit for garbage collection")
		return
	}
	klog.V(2).InfoS("Set the memory limit for garbage collection", "bytes", limit)
}
