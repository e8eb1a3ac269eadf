package app

import (
	"github.com/KimMachineGun/automemlimit/memlimit"
	"k8s.io/klog/v2"
)

// limitMemory makes garbage collections as frequent as it takes to stay within 90% of the
// container's memory limit, if it has one. GOMEMLIMIT in the environment is left as it is.
func limitMemory() {
	limit, err := memlimit.Set()
	if err != nil {
		klog.ErrorS(err, "The memory limit of the container is not known, so garbage collection does not keep to it")
		return
	}
	klog.V(2).InfoS("Garbage collection keeps to a memory limit", "bytes", limit)
}
