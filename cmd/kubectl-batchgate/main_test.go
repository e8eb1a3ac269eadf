// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// runVariable is the environment variable that makes the test binary run the plugin.
const runVariable = "BATCHGATE_TEST_RUN"

func TestMain(m *testing.M) {
	if os.Getenv(runVariable) != "" {
		os.Exit(run())
	}
	os.Exit(m.Run())
}

func plugin(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), runVariable+"=1", "KUBECONFIG=/nowhere")
	return cmd
}

// The reader of the output ends before the plugin does.
func TestRun_ClosedPipe(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	reader.Close()
	defer writer.Close()
	cmd := plugin(t, "status", "--output=xml")
	cmd.Stdout, cmd.Stderr = writer, writer
	_ = cmd.Run()
	if got := cmd.ProcessState.ExitCode(); got != 2 {
		t.Errorf("the plugin ended with %s", cmd.ProcessState)
	}
}

// The plugin handles these signals, so that an operation can undo its changes.
func TestRun_Signals(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(s.String(), func(t *testing.T) {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			cmd := plugin(t, "status", "--server=https://"+listener.Addr().String())
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			// The server never responds.
			conn, err := listener.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := cmd.Process.Signal(s); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			if got := cmd.ProcessState.ExitCode(); got != 1 {
				t.Errorf("the plugin ended with %s", cmd.ProcessState)
			}
		})
	}
}
