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

// Leftovers lists what the nodes of this process could leave on this machine: mounts below the directory
// for temporary files, network interfaces, iptables rules of Kubernetes, and processes and cgroups. Compare
// it before and after the nodes have run.
func Leftovers() (sets.Set[string], error) {
	found := sets.New[string]()
	own := ownCgroups()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 4 && strings.HasPrefix(fields[4], os.TempDir()) {
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
	for _, table := range []string{"filter", "nat"} {
		rules, err := output(exec.Command("iptables", "--table="+table, "--list-rules"))
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(rules) {
			if strings.Contains(line, "KUBE-") || strings.Contains(line, "CNI-") {
				found.Insert("iptables rule in " + table + ": " + strings.TrimSpace(line))
			}
		}
	}
	err = filepath.WalkDir(cgroupRoot, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && strings.Contains(path, own) {
			found.Insert("cgroup " + path)
		}
		return nil // a cgroup of others may end meanwhile
	})
	if err != nil {
		return nil, err
	}
	processes, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		return nil, err
	}
	for _, file := range processes {
		// A process may end meanwhile.
		if cgroups, err := os.ReadFile(file); err == nil && strings.Contains(string(cgroups), own) {
			found.Insert("process " + filepath.Dir(file))
		}
	}
	return found, nil
}
