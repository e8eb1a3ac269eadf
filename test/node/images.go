// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
)

const (
	// etcdImage is the image of the topology dedicated-etcd.
	etcdImage = "registry.k8s.io/etcd:3.7.0-0"
	// BusyboxImage is an image with a shell and the usual small programs.
	BusyboxImage = "docker.io/library/busybox:1"
	// coreDNSImage is the image of the cluster's DNS.
	coreDNSImage = "docker.io/library/coredns:1"
)

// busyboxPrograms are the programs in BusyboxImage.
const busyboxPrograms = "cat,date,dd,false,head,id,ls,mount,nc,nslookup,sh,sleep,tail,touch,true,wget,whoami"

// WriteImages writes archives of the images that nodes need to a directory, and returns their
// files.
func (p Programs) WriteImages(ctx context.Context, directory string) ([]string, error) {
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return nil, err
	}
	var files []string
	for name, args := range map[string][]string{
		"pause":   {"-name=" + PauseImage, "-links=" + busyboxPrograms, "-entrypoint=/bin/sleep,infinity", busybox},
		"busybox": {"-name=" + BusyboxImage, "-links=" + busyboxPrograms, "-entrypoint=/bin/sh", busybox},
		"etcd":    {"-name=" + etcdImage, "-entrypoint=", filepath.Join(p.ControlPlane, "etcd")},
		"coredns": {"-name=" + coreDNSImage, "-entrypoint=/bin/coredns", filepath.Join(p.CoreDNS, "coredns")},
	} {
		file := filepath.Join(directory, name+".tar")
		cmd := exec.CommandContext(ctx, filepath.Join(p.Image, "image"), append(args, file)...)
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, nil
}

// ImportImages imports image archives, including OCI layouts, into containerd.
func (n *Node) ImportImages(ctx context.Context, files ...string) error {
	for _, file := range files {
		if _, err := output(n.Command(ctx, "ctr", "--namespace=k8s.io", "images", "import", file)); err != nil {
			return err
		}
	}
	return nil
}
