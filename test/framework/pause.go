package framework

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// Pause stops the process where it is, as a machine that hangs would. It keeps its
// connections, and answers nobody until Resume.
func (p *Process) Pause() error { return p.signal(syscall.SIGSTOP) }

// Resume lets a paused process go on. One that runs, or has ended, is left alone.
func (p *Process) Resume() error { return p.signal(syscall.SIGCONT) }

func (p *Process) signal(signal syscall.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return nil
	}
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("sending %s to %s: %w", signal, p.Name, err)
	}
	return nil
}
