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
}

// Build builds batchgate-apiserver into the directory, and the tools if they are missing.
// Progress goes to standard error: the first build of the tools takes minutes.
func Build(ctx context.Context, directory string) (Binaries, error) {
	root, err := Root()
	if err != nil {
		return Binaries{}, err
	}
	tools, err := buildTools(ctx, "controlplane")
	if err != nil {
		return Binaries{}, err
	}
	server := filepath.Join(directory, "batchgate-apiserver")
	if _, err := runScript(ctx, filepath.Join(root, "hack", "build.sh"), server); err != nil {
		return Binaries{}, err
	}
	return Binaries{Tools: tools, Batchgate: server}, nil
}

// BuildTool builds the program of the module hack/tools/<name> if it is missing, and returns
// its file. Progress goes to standard error.
func BuildTool(ctx context.Context, name string) (string, error) {
	directory, err := buildTools(ctx, name)
	return filepath.Join(directory, name), err
}

// buildTools builds the missing programs of a module below hack/tools and returns their
// directory.
func buildTools(ctx context.Context, module string) (directory string, err error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	return runScript(ctx, filepath.Join(root, "hack", "build-tools.sh"), "-m", module)
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
