// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// stopTimeout is the default grace period of Stop.
const stopTimeout = 30 * time.Second

// Process is a component that can be stopped and started again with the same arguments.
type Process struct {
	// Name appears in errors and in the name of the log, <name>.log.
	Name string

	binary string
	args   []string
	// dir is the working directory and holds the log.
	dir string
	// exitsZero makes Stop check that the exit code is 0. Most components of Kubernetes exit
	// with another code on SIGTERM.
	exitsZero bool
	// gracePeriod replaces stopTimeout unless it is 0.
	gracePeriod time.Duration

	mu sync.Mutex
	// cmd is nil before Start and after Stop, Kill or runToCompletion.
	cmd    *exec.Cmd
	exited chan struct{}
	// err is the result of cmd.Wait, valid once exited is closed.
	err error
}

// Start starts the process. Its output is appended to its log.
func (p *Process) Start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	log, err := os.OpenFile(p.LogFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(p.binary, p.args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Dir = p.dir
	// Pdeathsig: the kernel kills the process if this one is killed. Setpgid: Ctrl-C in a
	// terminal reaches this process only, which then stops the others in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := OnPersistentThread(cmd.Start); err != nil {
		return fmt.Errorf("starting %s: %w", p.Name, err)
	}
	exited := make(chan struct{})
	p.cmd, p.exited = cmd, exited
	go func() {
		err := cmd.Wait()
		p.mu.Lock()
		p.err = err
		p.mu.Unlock()
		close(exited)
	}()
	return nil
}

// Running reports whether the process was started and has not exited.
func (p *Process) Running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// PID returns the process ID, or 0 before Start and after Stop or Kill.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// LogFile returns the file with the output of the process.
func (p *Process) LogFile() string { return filepath.Join(p.dir, p.Name+".log") }

// Exited returns a channel that is closed when the process of the last Start has exited.
func (p *Process) Exited() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.exited
}

// Stop sends SIGTERM and waits. After the grace period it kills the process and returns an
// error.
func (p *Process) Stop() error { return p.end(syscall.SIGTERM) }

// Kill sends SIGKILL and waits.
func (p *Process) Kill() error { return p.end(syscall.SIGKILL) }

func (p *Process) end(signal syscall.Signal) error {
	p.mu.Lock()
	cmd, exited := p.cmd, p.exited
	p.mu.Unlock()
	if cmd == nil {
		return nil
	}
	if err := cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("sending %s to %s: %w", signal, p.Name, err)
	}
	_ = p.Resume() // a paused process does not handle SIGTERM
	timeout := cmp.Or(p.gracePeriod, stopTimeout)
	select {
	case <-exited:
	case <-time.After(timeout):
		_ = cmd.Process.Kill()
		<-exited
		return fmt.Errorf("%s did not exit within %s and was killed; see %s", p.Name, timeout, p.LogFile())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd = nil
	if p.exitsZero && signal == syscall.SIGTERM && p.err != nil {
		return fmt.Errorf("stopping %s: %w; see %s", p.Name, p.err, p.LogFile())
	}
	return nil
}
