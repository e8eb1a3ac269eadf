// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	cgroupRoot = "/sys/fs/cgroup"
	// cgroupPrefix begins the names of the nodes' cgroups. The ID of the test process follows.
	cgroupPrefix = "batchgate-node-"
)

// ownCgroups returns the prefix of the names of the cgroups of this process's nodes.
func ownCgroups() string { return fmt.Sprintf("%s%d-", cgroupPrefix, os.Getpid()) }

// hierarchy is a cgroup hierarchy. Version 2 of cgroups has one. Version 1 has several, each with one or
// more controllers, or with a name only.
type hierarchy struct {
	// options are the mount options, such as "cpu,cpuacct" or "name=systemd", or "" for version 2.
	options string
}

// hierarchies returns the hierarchies of this machine, without the one of version 2 if there are
// others.
func hierarchies() ([]hierarchy, error) {
	content, err := os.ReadFile("/proc/self/cgroup") // lines of the form "4:cpu,cpuacct:/path"
	if err != nil {
		return nil, err
	}
	var found []hierarchy
	for line := range strings.Lines(string(content)) {
		if parts := strings.SplitN(strings.TrimSpace(line), ":", 3); len(parts) == 3 && parts[1] != "" {
			found = append(found, hierarchy{parts[1]})
		}
	}
	if len(found) == 0 {
		return []hierarchy{{}}, nil
	}
	return found, nil
}

// mountPoint returns where the hierarchy is mounted.
func (h hierarchy) mountPoint() string {
	return filepath.Join(cgroupRoot, strings.TrimPrefix(h.options, "name="))
}

// createCgroups creates a cgroup of this name in each hierarchy. It first removes cgroups that killed
// test processes have left.
func createCgroups(name string) error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	for _, h := range all {
		if err := removeAbandoned(h); err != nil {
			return err
		}
		dir := filepath.Join(h.mountPoint(), name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		if !slices.Contains(strings.Split(h.options, ","), "cpuset") {
			continue
		}
		// A new cpuset has no CPUs, and can have no processes.
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			content, err := os.ReadFile(filepath.Join(h.mountPoint(), file))
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(dir, file), content, 0); err != nil {
				return err
			}
		}
		if err := os.WriteFile(filepath.Join(dir, "cgroup.clone_children"), []byte("1"), 0); err != nil {
			return err
		}
	}
	return nil
}

// removeCgroups deletes the cgroups of this name, if they exist, and the ones below. Their processes must
// have ended.
func removeCgroups(name string) error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	var errs []error
	for _, h := range all {
		errs = append(errs, removeCgroup(filepath.Join(h.mountPoint(), name)))
	}
	return errors.Join(errs...)
}

// removeAbandoned deletes the cgroups of nodes whose test process has ended.
func removeAbandoned(h hierarchy) error {
	dirs, err := filepath.Glob(filepath.Join(h.mountPoint(), cgroupPrefix+"*"))
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), cgroupPrefix), "-")
		if _, err := os.Stat("/proc/" + pid); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := removeCgroup(dir); err != nil {
			return err
		}
	}
	return nil
}

func removeCgroup(root string) error {
	var dirs []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			dirs = append(dirs, path)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, dir := range slices.Backward(dirs) {
		// The kernel needs a moment after the end of the last process.
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			err := unix.Rmdir(dir)
			if err == nil || errors.Is(err, unix.ENOENT) {
				break
			}
			if !errors.Is(err, unix.EBUSY) || time.Now().After(deadline) {
				return fmt.Errorf("deleting the cgroup %s: %w", dir, err)
			}
		}
	}
	return nil
}

// joinCgroups moves this process into the cgroups of this name.
func joinCgroups(name string) error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	for _, h := range all {
		if err := os.WriteFile(filepath.Join(h.mountPoint(), name, "cgroup.procs"), []byte("0"), 0); err != nil {
			return err
		}
	}
	return nil
}

// mountCgroups mounts the hierarchies. Their roots are the cgroups of this process, which has a
// cgroup namespace of its own.
func mountCgroups() error {
	all, err := hierarchies()
	if err != nil {
		return err
	}
	if all[0].options == "" {
		return mountCgroup2()
	}
	if err := mount("tmpfs", cgroupRoot, "tmpfs", 0, "mode=755"); err != nil {
		return err
	}
	for _, h := range all {
		if err := os.Mkdir(h.mountPoint(), 0o755); err != nil {
			return err
		}
		options := h.options
		if strings.HasPrefix(options, "name=") {
			options = "none," + options
		}
		if err := mount("cgroup", h.mountPoint(), "cgroup", 0, options); err != nil {
			return err
		}
		for controller := range strings.SplitSeq(h.options, ",") {
			if link := filepath.Join(cgroupRoot, controller); strings.Contains(h.options, ",") {
				if err := os.Symlink(h.options, link); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// mountCgroup2 mounts the hierarchy of version 2. Only cgroups without processes can have children
// with controllers, so PID 1 moves to a child.
func mountCgroup2() error {
	if err := mount("cgroup2", cgroupRoot, "cgroup2", 0, ""); err != nil {
		return err
	}
	child := filepath.Join(cgroupRoot, "pid1")
	if err := os.Mkdir(child, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(child, "cgroup.procs"), []byte("0"), 0); err != nil {
		return err
	}
	controllers, err := os.ReadFile(filepath.Join(cgroupRoot, "cgroup.controllers"))
	if err != nil {
		return err
	}
	enable := "+" + strings.Join(strings.Fields(string(controllers)), " +")
	return os.WriteFile(filepath.Join(cgroupRoot, "cgroup.subtree_control"), []byte(enable), 0)
}
