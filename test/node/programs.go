// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/batchgate/batchgate/test/framework"
)

// cniDir is where Debian's package installs CNI plugins.
const cniDir = "/usr/lib/cni"

// CheckMachine returns an error that says what to install if nodes cannot run on this machine.
func CheckMachine(ctx context.Context) error {
	root, err := framework.Root()
	if err != nil {
		return err
	}
	_, err = output(exec.CommandContext(ctx, filepath.Join(root, "hack", "node-requirements.sh")))
	return err
}

// Programs are directories with programs that nodes run. Others are on the PATH of this machine.
type Programs struct {
	// ControlPlane has etcd, kubectl, and Kubernetes' control plane.
	ControlPlane string
	// Node has kubelet and kube-proxy.
	Node string
	// CoreDNS has coredns, and Helm has helm.
	CoreDNS, Helm string
	// E2E has Kubernetes' own end-to-end tests, e2e.test and ginkgo.
	E2E string
	// Image has image, which writes image archives.
	Image string
}

// BuildPrograms builds the programs if they are missing, which takes minutes. Progress goes to
// standard error.
func BuildPrograms(ctx context.Context) (Programs, error) {
	var p Programs
	for _, tools := range []struct {
		directory *string
		module    string
		names     []string
	}{
		{&p.ControlPlane, "controlplane", nil},
		{&p.Node, "node", nil},
		{&p.CoreDNS, "coredns", nil},
		{&p.Helm, "helm", []string{"helm"}},
		{&p.E2E, "e2e", nil},
		{&p.Image, "release", []string{"image"}},
	} {
		var err error
		if *tools.directory, err = framework.BuildTools(ctx, tools.module, tools.names...); err != nil {
			return p, err
		}
	}
	return p, nil
}

// Path returns a value for PATH: these directories, then this machine's PATH.
func (p Programs) Path() string {
	return strings.Join([]string{p.ControlPlane, p.Node, p.Helm, p.E2E, os.Getenv("PATH")}, ":")
}
