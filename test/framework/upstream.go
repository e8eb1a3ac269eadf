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
	"syscall"
)

// UpstreamTests are Kubernetes' own end-to-end tests.
type UpstreamTests struct {
	// directory contains e2e.test and ginkgo.
	directory string
}

// BuildUpstreamTests builds the tests of the control plane's version if they are missing, which takes
// minutes.
func BuildUpstreamTests(ctx context.Context) (UpstreamTests, error) {
	module := "e2e"
	if version := os.Getenv(KubernetesVariable); version != "" {
		module += "-" + version
	}
	directory, err := BuildTools(ctx, module)
	return UpstreamTests{directory: directory}, err
}

// Version returns the Kubernetes release of the tests.
func (u UpstreamTests) Version(ctx context.Context) (string, error) {
	version, err := exec.CommandContext(ctx, u.tests(), "--version").Output()
	if err != nil {
		return "", fmt.Errorf("reading the version of %s: %w", u.tests(), err)
	}
	return string(bytes.TrimSpace(version)), nil
}

// Run runs the tests with these ginkgo arguments as the user of the kubeconfig. It writes
// report.json and ginkgo.log to the directory. It returns no error for failed tests: see the
// report.
func (u UpstreamTests) Run(ctx context.Context, c *Cluster, kubeconfig, directory string, args ...string) error {
	log, err := os.Create(filepath.Join(directory, "ginkgo.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	args = append([]string{"run", "--no-color", "--output-dir=" + directory, "--json-report=report.json"}, args...)
	args = append(args, u.tests(), "--",
		"--provider=skeleton",
		"--kubeconfig="+kubeconfig,
		"--kubectl-path="+c.toolPath("kubectl"),
		fmt.Sprintf("--num-nodes=%d", len(nodeNames)),
		"--dump-logs-on-failure=false",
	)
	cmd := exec.CommandContext(ctx, filepath.Join(u.directory, "ginkgo"), args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = directory, log, log
	cmd.Env = append(os.Environ(), "KUBECACHEDIR="+filepath.Join(directory, "kubectl-cache"), "HOME="+directory, "TMPDIR="+directory)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	// Kill the children too.
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	err = OnPersistentThread(cmd.Start)
	if err == nil {
		err = cmd.Wait()
	}
	if _, statErr := os.Stat(filepath.Join(directory, "report.json")); statErr != nil {
		return fmt.Errorf("ginkgo wrote no report: %w; see %s", err, log.Name())
	}
	return nil
}

func (u UpstreamTests) tests() string { return filepath.Join(u.directory, "e2e.test") }
