package framework

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// stopTimeout is how long a process may take to end by itself, by default.
const stopTimeout = 30 * time.Second

// Process is one component. It can be stopped and started again, with the same arguments.
type Process struct {
	// Name is what the component is called in errors; its log is <dir>/<name>.log.
	Name string

	binary string
	args   []string
	dir    string
	// graceful is set for those whose exit code is 0 when they are asked to end; most
	// components of Kubernetes have another one.
	graceful bool
	// grace is how long it may take to end by itself, where that is not stopTimeout.
	grace time.Duration

	mu     sync.Mutex
	cmd    *exec.Cmd
	exited chan struct{}
	err    error
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
	// The kernel ends the process with this one, which may be killed. Ctrl-C in a terminal
	// is for this one only, which then stops the others in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := onLastingThread(cmd.Start); err != nil {
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

// Running reports whether the process was started and has not ended.
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

// PID is the process's id, 0 if it does not run.
func (p *Process) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

// LogFile is where the output of the process goes.
func (p *Process) LogFile() string { return filepath.Join(p.dir, p.Name+".log") }

// Exited is closed once the process that Start started last has ended.
func (p *Process) Exited() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.exited
}

// Stop asks the process to end and waits until it has. One that does not end in half a
// minute, or its own grace period, is killed, which is an error.
func (p *Process) Stop() error { return p.end(syscall.SIGTERM) }

// Kill ends the process without a chance to clean up.
func (p *Process) Kill() error { return p.end(syscall.SIGKILL) }

func (p *Process) end(signal syscall.Signal) error {
	p.mu.Lock()
	cmd, exited := p.cmd, p.exited
	p.mu.Unlock()
	if cmd == nil {
		return nil
	}
	if err := cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("ending %s: %w", p.Name, err)
	}
	_ = p.Resume() // a paused one would not notice
	timeout := cmp.Or(p.grace, stopTimeout)
	select {
	case <-exited:
	case <-time.After(timeout):
		_ = cmd.Process.Kill()
		<-exited
		return fmt.Errorf("%s did not end within %s and was killed; see %s", p.Name, timeout, p.LogFile())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd = nil
	if p.graceful && signal == syscall.SIGTERM && p.err != nil {
		return fmt.Errorf("ending %s: %w; see %s", p.Name, p.err, p.LogFile())
	}
	return nil
}

// spawn runs functions on one thread that lasts as long as this process does.
var spawn = sync.OnceValue(func() chan<- func() {
	calls := make(chan func())
	go func() {
		runtime.LockOSThread()
		for call := range calls {
			call()
		}
	}()
	return calls
})

// onLastingThread calls f on a thread that does not end before this process: the signal of
// Pdeathsig is sent at the death of the thread, not the process, that started the child.
func onLastingThread(f func() error) error {
	err := make(chan error)
	spawn() <- func() { err <- f() }
	return <-err
}
