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

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/batchgate/batchgate/pkg/pki"
	"github.com/batchgate/batchgate/pkg/standalone"
)

// binary builds the command once for all tests; its file is removed by TestMain.
var binary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(scratch, "batchgate-apiserver")
	out, err := exec.Command("go", "build", "-o", path, "github.com/batchgate/batchgate/cmd/batchgate-apiserver").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building the command: %w\n%s", err, out)
	}
	return path, nil
})

// process is a server in a process of its own.
type process struct {
	*server   // its url, CA and admin: what is in its memory, and its etcd, is out of reach
	directory string
	readyz    string // where it says that it is ready
	command   *exec.Cmd
	stderr    *outputBuffer // standard error
	stdout    *outputBuffer // standard output
	exited    chan struct{} // closed once it has ended
}

// output collects what a process prints.
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

// command returns the command with the arguments. The process it becomes does not outlive
// the test binary, however that ends.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	// What a killed process leaves there is removed with the rest.
	temporary, err := os.MkdirTemp(scratch, "tmp-")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, args...)
	// Where the tests themselves run in a cluster, it is none of the server's.
	cmd.Env = append(os.Environ(), "TMPDIR="+temporary, "KUBERNETES_SERVICE_HOST=")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// start starts a process from a thread that lives as long as the process does: the kernel
// sends Pdeathsig when the thread ends that started it, not when the process does.
func startCommand(cmd *exec.Cmd, ended chan<- struct{}) error {
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer close(ended)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // the state is in cmd.ProcessState
		}
	}()
	return <-started
}

// freePort returns a port that was free just now. Another process may take it before the
// server does; the server then fails to start, and is started on another one.
func freePort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// startProcess starts a standalone server on the directory and waits until it is ready.
func startStandaloneProcess(t *testing.T, directory string, args ...string) *process {
	t.Helper()
	return startReady(t, func() *process { return launchStandalone(t, directory, freePort(t), args...) })
}

// startReady starts a process until one gets its port, and waits until it is ready.
func startReady(t *testing.T, try func() *process) *process {
	t.Helper()
	for attempt := 0; ; attempt++ {
		p := try()
		err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, waitTimeout, true, p.ready)
		if err == nil {
			return p
		}
		if attempt == 3 || !strings.Contains(p.stderr.String(), "address already in use") {
			t.Fatalf("the server does not become ready: %v\n%s", err, p.stderr)
		}
	}
}

func launchStandalone(t *testing.T, directory string, port int, args ...string) *process {
	t.Helper()
	args = append([]string{"standalone", "--directory=" + directory, "--secure-port=" + strconv.Itoa(port)}, args...)
	return launch(t, directory, port, args)
}

// launch starts the command, which keeps its certificates in the directory, on the port.
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

// ready reports whether the process answers that it is ready, and fails once it has ended.
func (p *process) ready(ctx context.Context) (bool, error) {
	select {
	case <-p.exited:
		return false, errors.New("it has ended")
	default:
	}
	if p.admin == nil {
		// The kubeconfig is written last: the CA is there.
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

// kill ends the process as a power cut would.
func (p *process) kill() {
	_ = p.command.Process.Kill()
	<-p.exited
}

// signal asks the process to end.
func (p *process) sendSIGTERM(t *testing.T) {
	t.Helper()
	if err := p.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}

// terminate asks the process to end, and returns its exit code.
func (p *process) terminate(t *testing.T) int {
	t.Helper()
	p.sendSIGTERM(t)
	return p.waitForExit(t)
}

// wait waits until the process has ended, and returns its exit code.
func (p *process) waitForExit(t *testing.T) int {
	t.Helper()
	select {
	case <-p.exited:
	case <-time.After(waitTimeout):
		t.Fatalf("the server does not end:\n%s", p.stderr)
	}
	return p.command.ProcessState.ExitCode()
}
