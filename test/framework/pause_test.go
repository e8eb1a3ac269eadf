// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// waitForState waits until the process is in a state of proc(5), for example "T".
func waitForState(t *testing.T, p *Process, want string) {
	t.Helper()
	Eventually(t, time.Minute, "see the process in state "+want, func() error {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID()))
		if fields := strings.Fields(string(stat)); len(fields) > 2 && fields[2] == want {
			return nil
		}
		return fmt.Errorf("the status is %s, error %v", stat, err)
	})
}

func TestProcess_PauseResume(t *testing.T) {
	p := startScript(t, "trap 'exit 0' TERM; echo up; while :; do sleep 0.01; done")
	p.exitsZero = true
	waitForOutput(t, p)
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
		t.Errorf("stopping the paused process: %v", err)
	}
	if err := p.Resume(); err != nil {
		t.Errorf("resuming the stopped process: %v", err)
	}
}
