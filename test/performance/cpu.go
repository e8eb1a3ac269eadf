// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// cpu returns the CPU time that each process of the arm's plane has used so far. kube-apiserver
// also works for requests that go to Batchgate directly: it watches Jobs, and reviews the access of users.
func (a *arm) cpu() map[string]time.Duration {
	spent := map[string]time.Duration{
		"etcd": cpuTime(a.plane.Etcd.PID()), "client": cpuTime(os.Getpid()), "kube-apiserver": cpuTime(a.plane.APIServer.PID()),
	}
	if a.plane.gated {
		spent["batchgate"] = cpuTime(a.plane.Batchgate.PID())
	}
	if a.plane.webhookPID != 0 {
		spent["webhook"] = cpuTime(a.plane.webhookPID)
	}
	return spent
}

// cpuTime returns the CPU time of a process, or 0 if it does not run. It adds up the nanoseconds of
// its threads, because the time of the process in /proc/PID/stat has a resolution of 10 ms only.
// Threads of Go programs rarely end.
func cpuTime(pid int) time.Duration {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	total := time.Duration(0)
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		running, _, _ := strings.Cut(string(content), " ")
		nanoseconds, _ := strconv.ParseInt(running, 10, 64)
		total += time.Duration(nanoseconds)
	}
	return total
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
