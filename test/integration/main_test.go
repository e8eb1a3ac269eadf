// Package integration tests the whole server over HTTP, in this process and on a real etcd,
// without a cluster. What only a cluster shows is in test/e2e.
//
// The oracle for "nothing was stored" is etcd itself: the bytes under the Job's key and the
// revision of their last write, read past the server.
package integration

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"k8s.io/klog/v2"

	"github.com/batchgate/batchgate/test/framework"
)

// shared is the server of all tests that do not need one of their own. They keep apart by
// namespace.
var shared *server

// scratch is a directory for what several tests share. It is removed at the end.
var scratch string

func TestMain(m *testing.M) {
	framework.Main(m, framework.MainOptions{Setup: setUp, Finish: stopServers})
}

// setUp starts the shared server.
func setUp(_ context.Context, directory string) (err error) {
	if !testing.Verbose() {
		klog.SetLogger(klog.Logger{}) // which discards
	}
	scratch = directory
	if isFuzzWorker() {
		return nil
	}
	if shared, err = startServer(filepath.Join(scratch, "shared"), setup{}); err != nil {
		return fmt.Errorf("starting the server: %w", err)
	}
	if err := prepareFuzzing(); err != nil {
		return errors.Join(fmt.Errorf("preparing for fuzzing: %w", err), shared.stop())
	}
	return nil
}

// stopServers does nothing in a fuzz worker: the process that started it cleans up.
func stopServers() error {
	if isFuzzWorker() {
		return nil
	}
	return errors.Join(stopVictim(), shared.stop())
}
