// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package integration tests the whole server over HTTPS, on a real etcd and without a cluster. Most
// servers run in the test process. Tests that need a cluster are in test/e2e.
//
// To prove that nothing was stored, the tests read etcd directly and compare the bytes under the
// Job's key and the revision of their last write.
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

// shared is the server of all tests that need no special configuration. Each test uses its own
// namespace.
var shared *server

// scratch is a directory for files that several tests share. It is removed at the end.
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
