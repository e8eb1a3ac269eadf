package embeddedetcd

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// crashDirectory tells a process of this test to write, and to die.
const crashDirectory = "BATCHGATE_TEST_CRASH_DIRECTORY"

func TestDataSurvivesAKill(t *testing.T) {
	if directory := os.Getenv(crashDirectory); directory != "" {
		server := start(t, directory)
		if _, err := client(t, server).Put(t.Context(), "key", "value"); err != nil {
			t.Fatal(err)
		}
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}

	directory := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestDataSurvivesAKill$")
	// It leaves its sockets behind; TMPDIR is where.
	cmd.Env = append(os.Environ(), crashDirectory+"="+directory, "TMPDIR="+t.TempDir())
	output, err := cmd.CombinedOutput()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("it was to be killed: %v\n%s", err, output)
	}

	server := start(t, directory)
	defer server.Stop()
	got, err := client(t, server).Get(t.Context(), "key")
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Kvs) != 1 || string(got.Kvs[0].Value) != "value" {
		t.Errorf("after the kill there is %v", got.Kvs)
	}
}
