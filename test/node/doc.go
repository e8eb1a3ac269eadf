// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package node runs real Kubernetes nodes on this machine: containerd and kubelet run Pods as
// containers, kube-proxy routes the addresses of Services, and a CNI plugin gives each Pod an
// address. The first node also runs etcd and the control plane.
//
// Each node has mount, PID, network, UTS, IPC and cgroup namespaces of its own. The test binary runs
// again as PID 1 of each node. If PID 1 is killed, the kernel ends all processes of the node,
// and its mounts and interfaces disappear, as after a power failure. Its disk is a directory, which
// stays. Unlike after a power failure, the kernel still writes what programs have not flushed to it.
//
// It needs root and Debian packages, which CheckMachine names.
package node
