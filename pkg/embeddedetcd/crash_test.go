// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package embeddedetcd

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// crashDirectory is set in the child process of TestServer_DataSurvivesKill.
const crashDirectory = "BATCHGATE_TEST_CRASH_DIRECTORY"

func TestServer_DataSurvivesKill(t *testing.T) {
	if directory := os.Getenv(crashDirectory); directory != "" {
		server := start(t, directory)
		if _, err := newClient(t, server).Put(t.Context(), "key", "value"); err != nil {
			t.Fatal(err)
		}
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}

	directory := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestServer_DataSurvivesKill$")
	// A killed process does not remove its sockets, which are in TMPDIR.
	cmd.Env = append(os.Environ(), crashDirectory+"="+directory, "TMPDIR="+t.TempDir())
	output, err := cmd.CombinedOutput()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("the child process did not end by SIGKILL: %v\n%s", err, output)
	}

	server := start(t, directory)
	defer server.Stop()
	got, err := newClient(t, server).Get(t.Context(), "key")
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Kvs) != 1 || string(got.Kvs[0].Value) != "value" {
		t.Errorf("got %v after the kill, want value", got.Kvs)
	}
}
