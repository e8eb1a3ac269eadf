// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/util/sets"
)

// Leftovers lists what nodes could leave on this machine: mounts, network interfaces, rules of
// iptables, cgroups, and processes that run containers.
func Leftovers() (sets.Set[string], error) {
	found := sets.New[string]()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 4 {
			found.Insert("mount " + fields[4])
		}
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	for _, i := range interfaces {
		found.Insert("interface " + i.Name)
	}
	// The first line of each table is "-P CHAIN POLICY".
	for _, table := range []string{"filter", "nat"} {
		rules, err := output(exec.Command("iptables", "--table="+table, "--list-rules"))
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(rules) {
			found.Insert("rule of iptables in " + table + ": " + strings.TrimSpace(line))
		}
	}
	err = filepath.WalkDir(cgroupRoot, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && strings.Contains(path, cgroupPrefix) {
			found.Insert("cgroup " + path)
		}
		return nil // a cgroup of others may end meanwhile
	})
	if err != nil {
		return nil, err
	}
	processes, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		return nil, err
	}
	for _, file := range processes {
		name, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		switch name := strings.TrimSpace(string(name)); name {
		case "containerd", "kubelet", "kube-proxy", "containerd-shim", "runc":
			found.Insert("process " + name + " " + filepath.Dir(file))
		}
	}
	return found, nil
}
