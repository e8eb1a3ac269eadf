// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Binaries locates the programs of a Cluster.
type Binaries struct {
	// Tools is the directory with etcd, kubectl, kwok and the control plane.
	Tools string
	// Batchgate is the file of batchgate-apiserver.
	Batchgate string
	// Kubernetes is the minor version of an older control plane, such as 1.36, or empty for the
	// version in go.mod. Batchgate emulates it.
	Kubernetes string
	// ControlPlane is the directory with kube-apiserver, kube-controller-manager and
	// kube-scheduler of that version.
	ControlPlane string
}

// KubernetesVariable is the environment variable that selects an older control plane, for example
// 1.36. hack/tools has a module for each.
const KubernetesVariable = "BATCHGATE_KUBERNETES"

// ControlPlaneIs reports whether the tests run with the control plane of an older minor version, such as
// 1.36.
func ControlPlaneIs(minor string) bool { return os.Getenv(KubernetesVariable) == minor }

// tool returns the file of a tool.
func (b Binaries) tool(name string) string {
	switch name {
	case "kube-apiserver", "kube-controller-manager", "kube-scheduler":
		if b.ControlPlane != "" {
			return filepath.Join(b.ControlPlane, name)
		}
	}
	return filepath.Join(b.Tools, name)
}

const emulatedVersionFlag = "--emulated-version="

// emulate returns arguments that make Batchgate emulate the version of the control plane.
func (b Binaries) emulate(args []string) []string {
	if b.Kubernetes == "" {
		return args
	}
	return append(args, emulatedVersionFlag+b.Kubernetes)
}

// Build builds batchgate-apiserver into the directory, and the tools if they are missing.
// Progress goes to standard error: the first build of the tools takes minutes.
func Build(ctx context.Context, directory string) (Binaries, error) {
	root, err := Root()
	if err != nil {
		return Binaries{}, err
	}
	tools, err := BuildTools(ctx, "controlplane")
	if err != nil {
		return Binaries{}, err
	}
	server := filepath.Join(directory, "batchgate-apiserver")
	if _, err := runScript(ctx, filepath.Join(root, "hack", "build.sh"), server); err != nil {
		return Binaries{}, err
	}
	b := Binaries{Tools: tools, Batchgate: server}
	if version := os.Getenv(KubernetesVariable); version != "" {
		return b.WithKubernetes(ctx, version)
	}
	return b, nil
}

// WithKubernetes returns the programs with the control plane of a minor version, such as 1.36. It
// builds them if they are missing, which takes minutes.
func (b Binaries) WithKubernetes(ctx context.Context, version string) (Binaries, error) {
	var err error
	b.Kubernetes = version
	b.ControlPlane, err = BuildTools(ctx, "controlplane-"+version)
	return b, err
}

// BuildTool builds the program of the module hack/tools/<name> if it is missing, and returns
// its file. Progress goes to standard error.
func BuildTool(ctx context.Context, name string) (string, error) {
	directory, err := BuildTools(ctx, name)
	return filepath.Join(directory, name), err
}

// BuildTools builds the missing programs of a module below hack/tools, or only the ones with these
// names, and returns their directory. Progress goes to standard error.
func BuildTools(ctx context.Context, module string, names ...string) (directory string, err error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	return runScript(ctx, filepath.Join(root, "hack", "build-tools.sh"), append([]string{"-m", module}, names...)...)
}

// runScript returns the standard output of a script without surrounding space.
func runScript(ctx context.Context, file string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, file, args...)
	var stdout bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("running %s: %w", file, err)
	}
	return strings.TrimSpace(stdout.String()), nil
}
