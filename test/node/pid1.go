// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// pid1Variable is the environment variable with the pid1Config of a process that is PID 1 of a node.
const pid1Variable = "BATCHGATE_NODE_PID1"

// joinedVariable is set once the process has joined its cgroups.
const joinedVariable = "BATCHGATE_NODE_JOINED"

// replyOK is the reply of PID 1 to a command that succeeded. Other replies are errors.
const replyOK = "ok"

// pid1Config configures PID 1 of a node.
type pid1Config struct {
	Hostname string
	// Disk is the directory with the node's files and logs.
	Disk string
	// Cgroup is the name of the node's cgroup in each hierarchy.
	Cgroup   string
	Services []service
}

// service is a program that PID 1 starts again whenever it ends.
type service struct {
	Name string
	Args []string
}

// Main must be called first in the main function or TestMain of a program that starts nodes. It
// does not return if this process is PID 1 of a node, and does nothing otherwise.
func Main() {
	content := os.Getenv(pid1Variable)
	if content == "" {
		return
	}
	err := runPID1(content)
	fmt.Fprintln(os.Stderr, "error:", err)
	os.Exit(1)
}

func runPID1(content string) error {
	var config pid1Config
	if err := json.Unmarshal([]byte(content), &config); err != nil {
		return err
	}
	if os.Getenv(joinedVariable) == "" {
		return joinAndExec(config.Cgroup)
	}
	// The signal of SysProcAttr.Pdeathsig is lost when another thread than the first executes a program.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return err
	}
	if err := mountFiles(config.Disk); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte(config.Hostname)); err != nil {
		return err
	}
	p := &pid1{config: config, running: map[int]*unit{}}
	p.ended = sync.NewCond(&p.mu)
	for _, s := range config.Services {
		p.units = append(p.units, &unit{service: s})
	}
	go p.serve()
	p.reap()
	return nil
}

// joinAndExec joins the cgroups, makes them the roots of a new cgroup namespace, and starts this
// program again in it. unshare affects only the calling thread, which becomes the new program.
func joinAndExec(cgroup string) error {
	if err := joinCgroups(cgroup); err != nil {
		return err
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return os.NewSyscallError("unshare", err)
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	return syscall.Exec(program, os.Args[:1], append(os.Environ(), joinedVariable+"=1"))
}

// pid1 starts services and waits for all processes that end.
type pid1 struct {
	config pid1Config

	mu    sync.Mutex
	units []*unit
	// running has the units by process ID.
	running map[int]*unit
	// ended is signaled when a service ends.
	ended *sync.Cond
}

// unit is a service and its process.
type unit struct {
	service
	// extra are additional arguments.
	extra []string
	// pid is 0 while the service does not run.
	pid     int
	stopped bool
}

// serve executes the commands of standard input until the parent closes it. The reply to each is a
// line of standard output. It writes the first line when its file systems are mounted.
func (p *pid1) serve() {
	fmt.Println(replyOK)
	commands := bufio.NewScanner(os.Stdin)
	for commands.Scan() {
		reply := replyOK
		if err := p.execute(strings.Fields(commands.Text())); err != nil {
			reply = err.Error()
		}
		fmt.Println(reply)
	}
	os.Exit(0)
}

func (p *pid1) execute(command []string) error {
	if command[0] == "boot" {
		return p.boot()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	u, err := p.unit(command[1])
	if err != nil {
		return err
	}
	switch command[0] {
	case "start":
		u.stopped, u.extra = false, command[2:]
		return p.start(u)
	case "stop":
		u.stopped = true
		if u.pid == 0 {
			return nil
		}
		// A paused service handles SIGTERM once it continues.
		err := errors.Join(syscall.Kill(u.pid, syscall.SIGTERM), syscall.Kill(u.pid, syscall.SIGCONT))
		for u.pid != 0 && err == nil {
			p.ended.Wait()
		}
		return err
	case "signal":
		number, err := strconv.Atoi(command[2])
		if err != nil {
			return err
		}
		if u.pid == 0 {
			return errors.New("the service does not run")
		}
		return syscall.Kill(u.pid, syscall.Signal(number))
	}
	return fmt.Errorf("unknown command %s", command[0])
}

func (p *pid1) unit(name string) (*unit, error) {
	for _, u := range p.units {
		if u.Name == name {
			return u, nil
		}
	}
	return nil, fmt.Errorf("no service %s", name)
}

// boot starts all services. The network is connected by now.
func (p *pid1) boot() error {
	if err := setSysctls(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, u := range p.units {
		if err := p.start(u); err != nil {
			return err
		}
	}
	return nil
}

// start starts a unit that does not run. p.mu must be locked.
func (p *pid1) start(u *unit) error {
	if u.pid != 0 || u.stopped {
		return nil
	}
	log, err := os.OpenFile(filepath.Join(p.config.Disk, "log", u.Name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(u.Args[0], append(u.Args[1:len(u.Args):len(u.Args)], u.extra...)...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, p.config.Disk
	if err := cmd.Start(); err != nil {
		return err
	}
	u.pid = cmd.Process.Pid
	p.running[u.pid] = u
	return cmd.Process.Release() // reap waits for it
}

// reap waits for processes to end, including orphans, and restarts services. It never returns.
func (p *pid1) reap() {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case err != nil: // no process yet
			time.Sleep(50 * time.Millisecond)
			continue
		}
		p.mu.Lock()
		if u := p.running[pid]; u != nil {
			delete(p.running, pid)
			u.pid = 0
			p.ended.Broadcast()
			fmt.Fprintf(os.Stderr, "%s %s ended: exit code %d, signal %d\n", time.Now().Format(time.RFC3339), u.Name, status.ExitStatus(), status.Signal())
			time.AfterFunc(time.Second, func() {
				p.mu.Lock()
				defer p.mu.Unlock()
				if err := p.start(u); err != nil {
					fmt.Fprintln(os.Stderr, "error:", err)
				}
			})
		}
		p.mu.Unlock()
	}
}
