// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// The first node has a bridge, which the other nodes are connected to. All addresses are inside the
// network namespaces of the nodes. Each node has a default route, since the kernel looks up the route
// to the address of a Service before kube-proxy's rules replace that address.
func (n *Node) connect() error {
	if n.index == 0 {
		return n.ip(
			"link set lo up",
			"link add br0 type bridge",
			// A bridge without a port has no carrier.
			"link add port0 type veth peer name port1",
			"link set port0 master br0 up", "link set port1 up",
			"addr add "+n.IP+"/24 dev br0",
			"addr add "+controlPlaneIP+"/24 dev br0",
			"addr add "+secondAPIServerIP+"/24 dev br0",
			"link set br0 up",
			"route add default via 10.99.0.254",
		)
	}
	first := n.cluster.Nodes[0]
	if err := first.ip(fmt.Sprintf("link add %s type veth peer name eth0 netns %d", n.Name, n.PID()), "link set "+n.Name+" master br0 up"); err != nil {
		return err
	}
	if err := n.ip("link set lo up", "addr add "+n.IP+"/24 dev eth0", "link set eth0 up", "route add default via "+first.IP,
		"route add "+first.podCIDR()+" via "+first.IP); err != nil {
		return err
	}
	return first.ip("route replace " + n.podCIDR() + " via " + n.IP)
}

// podCIDR has the addresses of the node's Pods.
func (n *Node) podCIDR() string { return fmt.Sprintf("10.244.%d.0/24", n.index) }

// ip runs ip(8) in the network of the node with each of the arguments.
func (n *Node) ip(args ...string) error {
	for _, arg := range args {
		if _, err := output(n.InNetwork(context.Background(), "ip", strings.Fields(arg)...)); err != nil {
			return err
		}
	}
	return nil
}

// inNetwork calls f on a thread in the network namespace of a process.
func inNetwork(pid int, f func() error) error {
	done := make(chan error, 1)
	go func() {
		// The thread ends with this goroutine, because it stays locked.
		runtime.LockOSThread()
		done <- func() error {
			file, err := os.Open("/proc/" + strconv.Itoa(pid) + "/ns/net")
			if err != nil {
				return err
			}
			defer file.Close()
			if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
				return os.NewSyscallError("setns", err)
			}
			return f()
		}()
	}()
	return <-done
}
