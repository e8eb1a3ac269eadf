package framework

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// waitForState waits until the kernel says of the process what proc(5) calls its state.
func waitForState(t *testing.T, p *Process, want string) {
	t.Helper()
	var stat []byte
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		stat, _ = os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
		if fields := strings.Fields(string(stat)); len(fields) > 2 && fields[2] == want {
			return
		}
	}
	t.Fatalf("the process is never in state %s, but: %s", want, stat)
}

func TestPausedProcessGoesOnAndCanBeStopped(t *testing.T) {
	p := sleeper(t, "trap 'exit 0' TERM; echo up; while :; do sleep 0.01; done")
	p.graceful = true
	started(t, p)
	if err := p.Pause(); err != nil {
		t.Fatal(err)
	}
	waitForState(t, p, "T")
	if err := p.Resume(); err != nil {
		t.Fatal(err)
	}
	waitForState(t, p, "S")
	if err := p.Pause(); err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(); err != nil {
		t.Errorf("stopping it while it is paused: %v", err)
	}
	if err := p.Resume(); err != nil {
		t.Errorf("after its end: %v", err)
	}
}
