// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/batchgate/batchgate/test/framework"
)

// Node is a node of a Cluster. Its services, such as kubelet, start again if they end.
type Node struct {
	// Name is the hostname, and the name of the object of kind Node.
	Name string
	// IP is the address of kubelet and kube-proxy.
	IP string

	index   int
	dir     string
	cluster *Cluster

	mu sync.Mutex
	// pid1 is PID 1 of the node, or nil if the node has no power.
	pid1    *exec.Cmd
	stdin   io.WriteCloser
	replies *bufio.Scanner
}

// ErrOff is returned if the node is powered off.
var ErrOff = errors.New("the node has no power")

// prepare writes the configuration of the node.
func (n *Node) prepare() error {
	for _, dir := range []string{"log", "etc/cni/net.d", "etc/kubernetes/manifests", "etc/kubernetes/pki/etcd"} {
		if err := os.MkdirAll(filepath.Join(n.dir, dir), 0o755); err != nil {
			return err
		}
	}
	if err := n.cluster.pki.writeNode(n); err != nil {
		return err
	}
	return n.writeConfig()
}

// Boot starts the node with the disk that it has, and returns before its services are ready.
func (n *Node) Boot() error {
	if err := createCgroups(n.cgroup()); err != nil {
		return err
	}
	config, err := json.Marshal(pid1Config{Hostname: n.Name, Disk: n.dir, Cgroup: n.cgroup(), Services: n.services()})
	if err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(n.LogFile("pid1"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(program)
	cmd.Env = append(n.cluster.environment(), pid1Variable+"="+string(config))
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
		Pdeathsig:  syscall.SIGKILL,
		Setpgid:    true,
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := framework.OnPersistentThread(cmd.Start); err != nil {
		return fmt.Errorf("starting %s: %w", n.Name, err)
	}
	n.mu.Lock()
	n.pid1, n.stdin, n.replies = cmd, stdin, bufio.NewScanner(stdout)
	err = n.readReply()
	n.mu.Unlock()
	if err != nil {
		return err
	}
	if err := n.connect(); err != nil {
		return fmt.Errorf("connecting the network of %s: %w", n.Name, err)
	}
	return n.control("boot")
}

// PowerOff ends all processes of the node at once, as a power failure does. The disk stays.
func (n *Node) PowerOff() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.pid1 == nil {
		return removeCgroups(n.cgroup()) // Boot may have failed early
	}
	if err := n.pid1.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	// Wait returns once the kernel has ended all processes of the PID namespace.
	var exit *exec.ExitError
	if err := n.pid1.Wait(); err != nil && !errors.As(err, &exit) {
		return err
	}
	n.pid1 = nil
	return removeCgroups(n.cgroup())
}

// StopService stops a service of the node, such as "kubelet", until StartService, and waits for its end.
func (n *Node) StopService(name string) error { return n.control("stop " + name) }

// StartService starts a service after StopService. Until it is stopped, or the node boots again, it has
// these additional arguments, which must not contain spaces.
func (n *Node) StartService(name string, args ...string) error {
	return n.control(strings.Join(append([]string{"start", name}, args...), " "))
}

// SignalService sends a signal to a service. If that ends the service, it starts again.
func (n *Node) SignalService(name string, signal syscall.Signal) error {
	return n.control(fmt.Sprintf("signal %s %d", name, signal))
}

// control sends a command to PID 1 and waits for its reply.
func (n *Node) control(command string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.pid1 == nil {
		return ErrOff
	}
	if _, err := fmt.Fprintln(n.stdin, command); err != nil {
		return fmt.Errorf("PID 1 of %s has ended: %w; see %s", n.Name, err, n.LogFile("pid1"))
	}
	if err := n.readReply(); err != nil {
		return fmt.Errorf("%s: %w", command, err)
	}
	return nil
}

// readReply waits for the next reply of PID 1. n.mu must be locked.
func (n *Node) readReply() error {
	pid1 := n.pid1.Process
	timer := time.AfterFunc(readyTimeout, func() { _ = pid1.Kill() })
	defer timer.Stop()
	if !n.replies.Scan() {
		return fmt.Errorf("PID 1 of %s has ended; see %s", n.Name, n.LogFile("pid1"))
	}
	if reply := n.replies.Text(); reply != replyOK {
		return fmt.Errorf("PID 1 of %s: %s", n.Name, reply)
	}
	return nil
}

// LogFile returns the file with the output of a service.
func (n *Node) LogFile(service string) string { return filepath.Join(n.dir, "log", service+".log") }

// cgroup is the name of the node's cgroup in each hierarchy.
func (n *Node) cgroup() string {
	return fmt.Sprintf("%s%d-%s", ownCgroups(), n.cluster.id, n.Name)
}

// PID returns the process ID of the node's PID 1 on this machine, or 0 if the node has no power.
func (n *Node) PID() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.pid1 == nil {
		return 0
	}
	return n.pid1.Process.Pid
}

// Command returns a command that runs on the node, with its files.
func (n *Node) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return n.nsenter(ctx, []string{"--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup"}, name, args)
}

// InNetwork returns a command that runs in the network of the node, with the files of this machine.
func (n *Node) InNetwork(ctx context.Context, name string, args ...string) *exec.Cmd {
	return n.nsenter(ctx, []string{"--net"}, name, args)
}

func (n *Node) nsenter(ctx context.Context, namespaces []string, name string, args []string) *exec.Cmd {
	all := append([]string{"--target=" + strconv.Itoa(n.PID())}, namespaces...)
	cmd := exec.CommandContext(ctx, "nsenter", append(append(all, "--", name), args...)...)
	cmd.Env = append(n.cluster.environment(), "KUBECONFIG="+n.cluster.Kubeconfig, "HOME="+n.cluster.options.Dir)
	return cmd
}

// environment returns the variables of all programs on nodes. No proxy can reach the addresses of nodes.
func (c *Cluster) environment() []string {
	return append(os.Environ(), "PATH="+c.options.Programs.Path(), "NO_PROXY=*", "no_proxy=*")
}

// output runs a command. Its error contains the command's standard error.
func output(cmd *exec.Cmd) (string, error) {
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// dial connects from within the network of the node. It has the signature of rest.Config's Dial.
func (n *Node) dial(ctx context.Context, network, address string) (net.Conn, error) {
	pid := n.PID()
	if pid == 0 {
		return nil, ErrOff
	}
	var conn net.Conn
	err := inNetwork(pid, func() (err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}
