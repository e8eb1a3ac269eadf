// Package integration tests the whole server over HTTP, in this process and on a real etcd,
// without a cluster. What only a cluster shows is in test/e2e.
//
// The oracle for "nothing was stored" is etcd itself: the bytes under the Job's key and the
// revision of their last write, read past the server.
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

// shared is the server of all tests that do not need one of their own. They keep apart by
// namespace.
var shared *server

// scratch is a directory for what several tests share. It is removed at the end.
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
