// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"bytes"
	"context"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Kubectl runs kubectl with a kubeconfig.
type Kubectl struct {
	Kubeconfig string

	stdin string
	// env is added to the environment.
	env []string
	// dir is the home directory.
	binary, dir string
}

// Kubectl returns a Kubectl that authenticates as the admin.
func (c *Cluster) Kubectl() Kubectl {
	return Kubectl{Kubeconfig: c.Kubeconfig, binary: c.toolPath("kubectl"), dir: c.Dir}
}

// KubectlAs returns a Kubectl that authenticates as another user, with a client certificate.
func (c *Cluster) KubectlAs(user string, groups ...string) (Kubectl, error) {
	k := c.Kubectl()
	k.Kubeconfig = filepath.Join(c.Dir, "user-"+user+".kubeconfig")
	return k, c.pki.ca.WriteKubeconfig(k.Kubeconfig, c.apiServerURL(), pkix.Name{CommonName: user, Organization: groups})
}

// WithBinary returns a copy of k that runs another version of kubectl.
func (k Kubectl) WithBinary(path string) Kubectl {
	k.binary = path
	return k
}

// WithStdin returns a copy of k with this standard input.
func (k Kubectl) WithStdin(stdin string) Kubectl {
	k.stdin = stdin
	return k
}

// WithEnv returns a copy of k with an additional environment variable.
func (k Kubectl) WithEnv(name, value string) Kubectl {
	k.env = append(slices.Clone(k.env), name+"="+value)
	return k
}

// Run runs kubectl in the root of the work tree. The error of a failed command contains the
// command and its standard error.
func (k Kubectl) Run(ctx context.Context, args ...string) (stdout, stderr string, err error) {
	var out bytes.Buffer
	stderr, err = k.run(ctx, &out, args)
	return out.String(), stderr, err
}

// RunUntil runs kubectl until done returns true for the standard output so far, and returns
// that output. It fails if kubectl exits or ctx is canceled before.
func (k Kubectl) RunUntil(ctx context.Context, done func(stdout string) bool, args ...string) (stdout string, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	out := &watchedBuffer{}
	out.written = func() {
		if done(out.buffer.String()) {
			out.done = true
			cancel()
		}
	}
	_, err = k.run(ctx, out, args)
	if out.done {
		err = nil
	}
	return out.buffer.String(), err
}

// watchedBuffer calls written after each write.
type watchedBuffer struct {
	buffer  bytes.Buffer
	written func()
	done    bool
}

// Write implements io.Writer.
func (w *watchedBuffer) Write(p []byte) (int, error) {
	n, err := w.buffer.Write(p)
	w.written()
	return n, err
}

func (k Kubectl) run(ctx context.Context, stdout io.Writer, args []string) (stderr string, err error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	var errOut bytes.Buffer
	cmd := exec.CommandContext(ctx, k.binary, args...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "KUBECONFIG="+k.Kubeconfig, "KUBECACHEDIR="+filepath.Join(k.dir, "kubectl-cache"), "HOME="+k.dir)
	cmd.Env = append(cmd.Env, k.env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(k.stdin), stdout, &errOut
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err = OnPersistentThread(cmd.Start); err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		err = fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errOut.String()))
	}
	return errOut.String(), err
}
