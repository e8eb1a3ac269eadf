// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of CPU times in /proc. It is the same on all Linux architectures that Go supports.
const tick = 10 * time.Millisecond

// pids returns the processes to account for, by name.
func (b *bench) pids() map[string]int {
	return map[string]int{
		"kube-apiserver": b.cluster.APIServer.PID(),
		"batchgate":      b.cluster.Batchgate.PID(),
		"etcd":           b.cluster.Etcd.PID(),
		"webhook":        b.webhook.Process.Pid,
		"client":         os.Getpid(),
	}
}

// cpu returns the CPU time that each process has used so far.
func (b *bench) cpu() map[string]time.Duration {
	spent := map[string]time.Duration{}
	for name, pid := range b.pids() {
		spent[name] = cpuOf(pid)
	}
	return spent
}

// settle waits until the servers have been idle for the time of the plan, but not longer than 30
// seconds. Without it, work that a takeover or many policies cause later would be measured.
func (b *bench) settle(ctx context.Context) {
	const (
		timeout = 30 * time.Second
		step    = 250 * time.Millisecond
		// idleCPU is the CPU time of all servers in a step that still counts as idle.
		idleCPU = step / 5
	)
	deadline := time.Now().Add(timeout)
	for idle := time.Duration(0); idle < b.idle && ctx.Err() == nil; {
		before := b.cpu()
		pause(ctx, step)
		var spent time.Duration
		for process, total := range b.cpu() {
			if process != "client" {
				spent += total - before[process]
			}
		}
		if idle += step; spent > idleCPU {
			idle = 0
		}
		if time.Now().After(deadline) {
			progress("the servers are still busy after %s, measuring anyway", timeout)
			return
		}
	}
}

// cpuOf returns the CPU time of a process, or 0 if it does not run.
func cpuOf(pid int) time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The name is in parentheses and may have spaces. The 12th and 13th fields after it are the
	// times in user and kernel mode.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	kernel, _ := strconv.Atoi(fields[12])
	return time.Duration(user+kernel) * tick
}

// resident returns the resident memory of a process in MiB.
func resident(pid int) float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, _ := strconv.Atoi(strings.Fields(value)[0])
			return float64(kib) / 1024
		}
	}
	return 0
}

// machine describes the hardware and the Go version.
func machine() string {
	model := runtime.GOARCH
	if file, err := os.Open("/proc/cpuinfo"); err == nil {
		defer file.Close()
		for lines := bufio.NewScanner(file); lines.Scan(); {
			if name, ok := strings.CutPrefix(lines.Text(), "model name"); ok {
				model = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(name), ":"))
				break
			}
		}
	}
	return fmt.Sprintf("%d cores (%s), %s, %s", runtime.NumCPU(), model, runtime.GOOS, runtime.Version())
}
