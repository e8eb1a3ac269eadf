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

// tick is the unit of the times in /proc, the same on all architectures of Linux that Go has.
const tick = 10 * time.Millisecond

// pids are the processes that share the machine.
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

// settle waits, for so long at most, until the servers have been at rest as the plan has it. What a
// takeover or many policies leave for kube-apiserver to do later would be measured otherwise.
func (b *bench) settle(ctx context.Context) {
	const (
		atMost = 30 * time.Second
		step   = 250 * time.Millisecond
		atRest = step / 5 // CPU time, of all servers
	)
	deadline := time.Now().Add(atMost)
	for rest := time.Duration(0); rest < b.rest && ctx.Err() == nil; {
		before := b.cpu()
		pause(ctx, step)
		var spent time.Duration
		for process, total := range b.cpu() {
			if process != "client" {
				spent += total - before[process]
			}
		}
		if rest += step; spent > atRest {
			rest = 0
		}
		if time.Now().After(deadline) {
			progress("the servers are still busy after %s, measuring all the same", atMost)
			return
		}
	}
}

// cpuOf returns the CPU time of a process, 0 for one that does not run.
func cpuOf(pid int) time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The name, in parentheses, may have spaces. Of what follows it, the 12th and 13th are
	// the times in user and kernel mode.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	kernel, _ := strconv.Atoi(fields[12])
	return time.Duration(user+kernel) * tick
}

// resident returns the memory of a process in MiB.
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

// machine describes where the figures are from.
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
