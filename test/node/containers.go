// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Process is the first process of a container, as the kernel sees it.
type Process struct {
	// PID is the process ID on this machine.
	PID int
	UID int
	// EffectiveCapabilities has a bit for each capability.
	EffectiveCapabilities uint64
	NoNewPrivileges       bool
	// SeccompMode is 2 if a filter of system calls is active.
	SeccompMode  int
	ReadOnlyRoot bool
	// MemoryLimit and MemoryPeak, the most that the container has used, are in bytes.
	MemoryLimit, MemoryPeak int64
}

// ContainerProcess returns the process of a running container of a Pod.
func (n *Node) ContainerProcess(ctx context.Context, namespace, pod, container string) (Process, error) {
	filter := fmt.Sprintf(`labels."io.kubernetes.pod.namespace"==%s,labels."io.kubernetes.pod.name"==%s,labels."io.kubernetes.container.name"==%s`, namespace, pod, container)
	ids, err := output(n.Command(ctx, "ctr", "--namespace=k8s.io", "containers", "list", "--quiet", filter))
	if err != nil {
		return Process{}, err
	}
	for id := range strings.FieldsSeq(ids) {
		process, err := n.process(id)
		if err != nil || process.PID != 0 {
			return process, err
		}
	}
	return Process{}, fmt.Errorf("no container %s of the Pod %s/%s runs on %s", container, namespace, pod, n.Name)
}

// process finds the process of a container by its cgroup, whose last element is the container's ID.
// PID is 0 if it has ended.
func (n *Node) process(id string) (Process, error) {
	files, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		return Process{}, err
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(content), "/"+id+"\n") {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err != nil {
			return Process{}, err
		}
		return readProcess(pid, string(content))
	}
	return Process{}, nil
}

func readProcess(pid int, cgroups string) (Process, error) {
	p := Process{PID: pid}
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return p, err
	}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		fields := strings.Fields(value)
		if len(fields) == 0 {
			continue
		}
		switch name {
		case "Uid":
			p.UID, err = strconv.Atoi(fields[1])
		case "CapEff":
			p.EffectiveCapabilities, err = strconv.ParseUint(fields[0], 16, 64)
		case "NoNewPrivs":
			p.NoNewPrivileges = fields[0] == "1"
		case "Seccomp":
			p.SeccompMode, err = strconv.Atoi(fields[0])
		}
		if err != nil {
			return p, err
		}
	}
	mounts, err := os.ReadFile(filepath.Join(dir, "mountinfo"))
	if err != nil {
		return p, err
	}
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); len(fields) > 5 && fields[4] == "/" {
			p.ReadOnlyRoot = strings.HasPrefix(fields[5], "ro")
		}
	}
	if p.MemoryLimit, err = memory(cgroups, "memory.limit_in_bytes", "memory.max"); err != nil {
		return p, err
	}
	p.MemoryPeak, err = memory(cgroups, "memory.max_usage_in_bytes", "memory.peak")
	return p, err
}

// memory reads a number from a file of the memory cgroup of a process. cgroups is the content of
// /proc/PID/cgroup; name1 and name2 are the file names in version 1 and 2 of cgroups. It returns 0 if no file
// has a number.
func memory(cgroups, name1, name2 string) (int64, error) {
	for line := range strings.Lines(cgroups) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		file := filepath.Join(cgroupRoot, parts[1], parts[2], name1)
		if parts[1] == "" {
			file = filepath.Join(cgroupRoot, parts[2], name2)
		}
		content, err := os.ReadFile(file)
		if err != nil || strings.TrimSpace(string(content)) == "max" {
			continue // another controller, a kernel without the file, or no limit
		}
		return strconv.ParseInt(strings.TrimSpace(string(content)), 10, 64)
	}
	return 0, nil
}
