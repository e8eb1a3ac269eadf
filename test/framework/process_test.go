package framework

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func sleeper(t *testing.T, script string) *Process {
	t.Helper()
	p := &Process{Name: "sleeper", binary: "/bin/sh", args: []string{"-c", script}, dir: t.TempDir()}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Kill() })
	return p
}

// started waits until the script has written to the log.
func started(t *testing.T, p *Process) string {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if log, _ := os.ReadFile(p.LogFile()); strings.HasSuffix(string(log), "\n") {
			return strings.TrimSpace(string(log))
		}
	}
	t.Fatal("the process has not written anything")
	return ""
}

func TestProcessStopsStartsAgainAndIsKilled(t *testing.T) {
	p := sleeper(t, "echo up; exec sleep 1000")
	started(t, p)
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	if p.Running() {
		t.Error("it runs after Stop")
	}
	if err := p.Stop(); err != nil {
		t.Errorf("stopping it again: %v", err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	if !p.Running() {
		t.Error("it does not run after Start")
	}
	if err := p.Kill(); err != nil || p.Running() {
		t.Errorf("running after Kill: %t, error %v", p.Running(), err)
	}
}

func TestGracefulProcessMustEndWithCodeZero(t *testing.T) {
	for script, fails := range map[string]bool{
		"trap 'exit 0' TERM; echo up; while :; do sleep 0.01; done": false,
		"trap 'exit 3' TERM; echo up; while :; do sleep 0.01; done": true,
	} {
		p := sleeper(t, script)
		p.graceful = true
		started(t, p)
		if err := p.Stop(); (err != nil) != fails {
			t.Errorf("%s: %v", script, err)
		}
	}
}

// A test binary that is killed cannot clean up: the kernel must.
func TestProcessEndsWithAKilledParent(t *testing.T) {
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
	child := started(t, &Process{Name: "child", dir: dir})
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	pid, err := strconv.Atoi(child)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); alive(pid); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			t.Fatal("the child has survived its parent")
		}
	}
}

// alive reports whether a process runs, and is not one that only waits to be reaped.
func alive(pid int) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(pid), "stat"))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

func TestFreePortsAreFree(t *testing.T) {
	for range 20 {
		port, err := freePort()
		if err != nil {
			t.Fatal(err)
		}
		listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		listener.Close()
	}
}

func TestRootIsFoundFromBelow(t *testing.T) {
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "test", "framework")); err != nil {
		t.Error(err)
	}
	t.Chdir(t.TempDir())
	if root, err := Root(); err == nil {
		t.Errorf("found %s from outside of the work tree", root)
	}
}
