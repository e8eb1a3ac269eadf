// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/batchgate/batchgate/pkg/pki"
	"github.com/batchgate/batchgate/pkg/standalone"
	"github.com/batchgate/batchgate/test/framework"
)

// binary builds batchgate-apiserver once for all tests. The file stays in _output, because go
// build links it again only if the code changed.
var binary = sync.OnceValues(func() (string, error) {
	root, err := framework.Root()
	if err != nil {
		return "", err
	}
	path := filepath.Join(root, "_output", "integration", "batchgate-apiserver")
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", path, "./cmd/batchgate-apiserver")
	cmd.Dir = root // the tests are in another module
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building batchgate-apiserver: %w\n%s", err, out)
	}
	return path, nil
})

// process is a server that runs in a separate process.
type process struct {
	*server   // only url, ca and admin are set
	directory string
	readyz    string // path of the readiness check
	command   *exec.Cmd
	stderr    *outputBuffer // standard error
	stdout    *outputBuffer // standard output
	exited    chan struct{} // closed when the process exits
}

// outputBuffer collects the output of a process.
type outputBuffer struct {
	lock sync.Mutex
	text bytes.Buffer
}

// Write implements io.Writer.
func (o *outputBuffer) Write(p []byte) (int, error) {
	o.lock.Lock()
	defer o.lock.Unlock()
	return o.text.Write(p)
}

func (o *outputBuffer) String() string {
	o.lock.Lock()
	defer o.lock.Unlock()
	return o.text.String()
}

// command returns a command that runs batchgate-apiserver. The kernel kills the process if the
// test binary exits, even on a crash.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	// A killed process leaves files here. TestMain removes them with scratch.
	temporary, err := os.MkdirTemp(scratch, "tmp-")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	// If the tests run in a Pod, the server must not use the cluster of that Pod.
	cmd.Env = append(os.Environ(), "TMPDIR="+temporary, "KUBERNETES_SERVICE_HOST=")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// startCommand starts a process from a thread that lives as long as the process. The kernel sends
// Pdeathsig when the thread that started a child ends, even if the parent process lives on.
// startCommand closes exited when the process exits.
func startCommand(cmd *exec.Cmd, exited chan<- struct{}) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer close(exited)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // the state is in cmd.ProcessState
		}
	}()
	return <-started
}

// freePort returns a port that is free now. If another process takes it before the server
// does, the server fails to start and startReady tries another port.
func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// startStandaloneProcess starts a standalone server on the directory and waits until it is ready.
func startStandaloneProcess(t *testing.T, directory string, args ...string) *process {
	t.Helper()
	return startReady(t, func() *process { return launchStandalone(t, directory, freePort(t), args...) })
}

// startReady calls launch until the process gets its port, then waits until it is ready.
func startReady(t *testing.T, launch func() *process) *process {
	t.Helper()
	for attempt := 0; ; attempt++ {
		p := launch()
		err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, waitTimeout, true, p.ready)
		if err == nil {
			return p
		}
		if attempt == 3 || !strings.Contains(p.stderr.String(), "address already in use") {
			t.Fatalf("server did not become ready: %v\n%s", err, p.stderr)
		}
	}
}

func launchStandalone(t *testing.T, directory string, port int, args ...string) *process {
	t.Helper()
	args = append([]string{"standalone", "--directory=" + directory, "--secure-port=" + strconv.Itoa(port)}, args...)
	return launch(t, directory, port, args)
}

// launch starts batchgate-apiserver on the port, with its certificates in the directory.
func launch(t *testing.T, directory string, port int, args []string) *process {
	t.Helper()
	p := &process{
		server:    &server{url: "https://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port))},
		directory: directory,
		readyz:    "/readyz",
		command:   command(t, args...),
		stderr:    &outputBuffer{},
		stdout:    &outputBuffer{},
		exited:    make(chan struct{}),
	}
	p.command.Stdout, p.command.Stderr = p.stdout, p.stderr
	if err := startCommand(p.command, p.exited); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	return p
}

// ready reports whether the process is ready. It returns an error if the process has exited.
func (p *process) ready(ctx context.Context) (bool, error) {
	select {
	case <-p.exited:
		return false, errors.New("process has exited")
	default:
	}
	if p.admin == nil {
		// The server writes the kubeconfig last, so the CA exists too.
		if _, err := os.Stat(standalone.FilesIn(p.directory).Kubeconfig); err != nil {
			return false, nil
		}
		var err error
		if p.ca, err = p.authority(); err != nil {
			return false, err
		}
		if p.admin, err = p.newUser("admin", "system:masters"); err != nil {
			return false, err
		}
	}
	resp, err := p.admin.send(ctx, request{method: http.MethodGet, path: p.readyz})
	return err == nil && resp.code == http.StatusOK, nil
}

// authority returns the CA in the directory.
func (p *process) authority() (*pki.Authority, error) {
	return pki.LoadOrCreate(filepath.Join(p.directory, "pki", "ca.crt"), filepath.Join(p.directory, "pki", "ca.key"), "")
}

// kill sends SIGKILL and waits until the process has exited.
func (p *process) kill() {
	_ = p.command.Process.Kill()
	<-p.exited
}

func (p *process) sendSIGTERM(t *testing.T) {
	t.Helper()
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}

// terminate sends SIGTERM and returns the exit code.
func (p *process) terminate(t *testing.T) int {
	t.Helper()
	p.sendSIGTERM(t)
	return p.waitForExit(t)
}

// waitForExit returns the exit code.
func (p *process) waitForExit(t *testing.T) int {
	t.Helper()
	select {
	case <-p.exited:
	case <-time.After(waitTimeout):
		t.Fatalf("server did not exit:\n%s", p.stderr)
	}
	return p.command.ProcessState.ExitCode()
}

// embeddedEtcd returns a client for the etcd that is embedded in the process.
func (p *process) embeddedEtcd(t *testing.T) *clientv3.Client {
	t.Helper()
	for _, variable := range p.command.Env {
		directory, ok := strings.CutPrefix(variable, "TMPDIR="+scratch)
		if !ok {
			continue
		}
		sockets, err := filepath.Glob(filepath.Join(scratch+directory, "batchgate-etcd-*", "client"))
		if err != nil || len(sockets) != 1 {
			t.Fatalf("got etcd sockets %q, want one: %v", sockets, err)
		}
		client, err := clientv3.New(clientv3.Config{Endpoints: []string{"unix://" + sockets[0]}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { client.Close() })
		return client
	}
	t.Fatal("process has no TMPDIR")
	return nil
}
