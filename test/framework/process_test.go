// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func startScript(t *testing.T, script string) *Process {
	t.Helper()
	p := &Process{Name: "script", binary: "/bin/sh", args: []string{"-c", script}, dir: t.TempDir()}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Kill() })
	return p
}

// waitForOutput waits for the first line in the log and returns it.
func waitForOutput(t *testing.T, p *Process) (line string) {
	t.Helper()
	Eventually(t, time.Minute, "read a line from the log", func() error {
		log, err := os.ReadFile(p.LogFile())
		if strings.HasSuffix(string(log), "\n") {
			line = strings.TrimSpace(string(log))
			return nil
		}
		return fmt.Errorf("the log is %q, error %v", log, err)
	})
	return line
}

func TestProcess_StartStopKill(t *testing.T) {
	p := startScript(t, "echo up; exec sleep 1000")
	waitForOutput(t, p)
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	if p.Running() {
		t.Error("the process runs after Stop")
	}
	if err := p.Stop(); err != nil {
		t.Errorf("stopping the stopped process: %v", err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	if !p.Running() {
		t.Error("the process does not run after Start")
	}
	if err := p.Kill(); err != nil || p.Running() {
		t.Errorf("running after Kill: %t, error %v", p.Running(), err)
	}
}

func TestProcess_StopChecksExitCode(t *testing.T) {
	for name, tc := range map[string]struct {
		script  string
		wantErr bool
	}{
		"exit code 0": {"trap 'exit 0' TERM; echo up; while :; do sleep 0.01; done", false},
		"exit code 3": {"trap 'exit 3' TERM; echo up; while :; do sleep 0.01; done", true},
	} {
		t.Run(name, func(t *testing.T) {
			p := startScript(t, tc.script)
			p.exitsZero = true
			waitForOutput(t, p)
			if err := p.Stop(); (err != nil) != tc.wantErr {
				t.Errorf("error %v, want one: %t", err, tc.wantErr)
			}
		})
	}
}

// A killed test binary cannot stop its processes, so the kernel must.
func TestProcess_EndsWithKilledParent(t *testing.T) {
	if dir := os.Getenv("FRAMEWORK_TEST_PARENT"); dir != "" {
		p := &Process{Name: "child", binary: "/bin/sh", args: []string{"-c", "echo $$; exec sleep 1000"}, dir: dir}
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		select {}
	}
	dir := t.TempDir()
	parent := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	parent.Env = append(os.Environ(), "FRAMEWORK_TEST_PARENT="+dir)
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	child := waitForOutput(t, &Process{Name: "child", dir: dir})
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	pid, err := strconv.Atoi(child)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if alive(pid) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	})
	Eventually(t, time.Minute, "see the child end", func() error {
		if alive(pid) {
			return errors.New("the child is alive")
		}
		return nil
	})
}

// alive reports whether a process exists and is not a zombie.
func alive(pid int) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}
