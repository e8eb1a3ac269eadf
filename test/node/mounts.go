// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// mount mounts a file system on an existing directory or file.
func mount(source, target, fileSystem string, flags uintptr, data string) error {
	if err := unix.Mount(source, target, fileSystem, flags, data); err != nil {
		return fmt.Errorf("mounting %s on %s: %w", source, target, err)
	}
	return nil
}

// mountFiles gives PID 1 of a node its files. Those of this machine can be read, but changes in
// /etc, /opt, /run and /var stay on the disk of the node.
func mountFiles(disk string) error {
	// Mounts of this machine and of the node do not propagate to each other. Those of the node
	// propagate to its containers, as kubelet requires.
	for _, propagation := range []uintptr{unix.MS_PRIVATE, unix.MS_SHARED} {
		if err := mount("none", "/", "", unix.MS_REC|propagation, ""); err != nil {
			return err
		}
	}
	if err := mount("proc", "/proc", "proc", 0, ""); err != nil {
		return err
	}
	if err := mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
		return err
	}
	if err := mountCgroups(); err != nil {
		return err
	}
	for _, name := range []string{"etc", "opt", "var"} {
		upper, work := filepath.Join(disk, name), filepath.Join(disk, name+".work")
		if err := makeDirs(upper, work); err != nil {
			return err
		}
		if err := mount("overlay", "/"+name, "overlay", 0, fmt.Sprintf("lowerdir=/%s,upperdir=%s,workdir=%s", name, upper, work)); err != nil {
			return err
		}
	}
	// An overlay cannot have its upper directory on another overlay, and containers have overlays.
	for _, name := range []string{"kubelet", "containerd"} {
		source, target := filepath.Join(disk, name), filepath.Join("/var/lib", name)
		if err := makeDirs(source, target); err != nil {
			return err
		}
		if err := mount(source, target, "", unix.MS_BIND, ""); err != nil {
			return err
		}
	}
	if err := mount("tmpfs", "/run", "tmpfs", 0, "mode=755"); err != nil {
		return err
	}
	if err := makeDirs("/run/netns", "/run/lock"); err != nil {
		return err
	}
	return fakeSysctls()
}

// fakeSysctls shows kubelet the values that it expects of settings of the whole machine. Otherwise it
// would change them.
func fakeSysctls() error {
	for name, value := range map[string]string{
		"vm/overcommit_memory": "1", "vm/panic_on_oom": "0", "kernel/panic": "10", "kernel/panic_on_oops": "1",
		"kernel/keys/root_maxkeys": "1000000", "kernel/keys/root_maxbytes": "25000000",
	} {
		fake := filepath.Join("/run", filepath.Base(name))
		if err := os.WriteFile(fake, []byte(value+"\n"), 0o644); err != nil {
			return err
		}
		if err := mount(fake, filepath.Join("/proc/sys", name), "", unix.MS_BIND, ""); err != nil {
			return err
		}
	}
	return nil
}

// setSysctls sets what kube-proxy and the bridge of the Pods need, in this network namespace.
func setSysctls() error {
	for _, name := range []string{"ipv4/ip_forward", "bridge/bridge-nf-call-iptables"} {
		if err := os.WriteFile(filepath.Join("/proc/sys/net", name), []byte("1"), 0); err != nil {
			return err
		}
	}
	return nil
}

func makeDirs(names ...string) error {
	for _, name := range names {
		if err := os.MkdirAll(name, 0o755); err != nil {
			return err
		}
	}
	return nil
}
