// Package integration tests the whole server over HTTPS, on a real etcd and without a cluster. Most
// servers run in the test process. Tests that need a cluster are in test/e2e.
//
// To prove that nothing was stored, the tests read etcd directly and compare the bytes under the
// Job's key and the revision of their last write.
package integration

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"k8s.io/klog/v2"
)

// shared is the server of all tests that need no special configuration. Each test uses its own
// namespace.
var shared *server

// scratch is a directory for files that several tests share. It is removed at the end.
var scratch string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if !testing.Verbose() {
		klog.SetLogger(klog.Logger{}) // which discards
	}
	var err error
	if scratch, err = os.MkdirTemp("", "batchgate-integration-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(scratch)
	if isFuzzWorker() { // which the process that started it cleans up after
		return m.Run()
	}
	if shared, err = startServer(filepath.Join(scratch, "shared"), setup{}); err != nil {
		fmt.Fprintln(os.Stderr, "starting the server:", err)
		return 1
	}
	defer func() {
		if err := errors.Join(stopVictim(), shared.stop()); err != nil {
			fmt.Fprintln(os.Stderr, "stopping the server:", err)
		}
	}()
	if err := prepareFuzzing(); err != nil {
		fmt.Fprintln(os.Stderr, "preparing for fuzzing:", err)
		return 1
	}
	return m.Run()
}
