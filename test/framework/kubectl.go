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
	"strings"
	"syscall"
)

// Kubectl is a way to run kubectl.
type Kubectl struct {
	// Kubeconfig says where and as whom.
	Kubeconfig string
	// Stdin is what it reads; empty by default.
	Stdin string
	// Env is added to the environment, for example KUBE_EDITOR.
	Env []string

	binary, dir string
}

// Kubectl returns kubectl as the admin.
func (c *Cluster) Kubectl() Kubectl {
	return Kubectl{Kubeconfig: c.Kubeconfig, binary: c.tool("kubectl"), dir: c.Dir}
}

// KubectlAs returns kubectl as another user, with a client certificate of its own.
func (c *Cluster) KubectlAs(user string, groups ...string) (Kubectl, error) {
	k := c.Kubectl()
	k.Kubeconfig = filepath.Join(c.Dir, "user-"+user+".kubeconfig")
	return k, c.pki.ca.WriteKubeconfig(k.Kubeconfig, c.serverURL(), pkix.Name{CommonName: user, Organization: groups})
}

// WithStdin returns k with a standard input.
func (k Kubectl) WithStdin(stdin string) Kubectl {
	k.Stdin = stdin
	return k
}

// WithEnv returns k with a further environment variable.
func (k Kubectl) WithEnv(name, value string) Kubectl {
	k.Env = append(k.Env[:len(k.Env):len(k.Env)], name+"="+value)
	return k
}

// Run runs kubectl in the top directory of the work tree until it ends, or ctx does. The
// error of a command that fails names it, and holds what it wrote to standard error.
func (k Kubectl) Run(ctx context.Context, args ...string) (stdout, stderr string, err error) {
	var out bytes.Buffer
	stderr, err = k.run(ctx, &out, args)
	return out.String(), stderr, err
}

// RunUntil runs kubectl until done returns true for what it has written to standard output
// so far, and returns that. It is an error where kubectl or ctx ends before.
func (k Kubectl) RunUntil(ctx context.Context, done func(stdout string) bool, args ...string) (stdout string, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	out := &watched{}
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

// watched is a buffer that says when it is written to.
type watched struct {
	buffer  bytes.Buffer
	written func()
	done    bool
}

// Write implements io.Writer.
func (w *watched) Write(p []byte) (int, error) {
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
	cmd.Env = append(cmd.Env, k.Env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(k.Stdin), stdout, &errOut
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err = onLastingThread(cmd.Start); err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		err = fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(errOut.String()))
	}
	return errOut.String(), err
}
