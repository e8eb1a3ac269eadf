// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Command kubectl-batchgate is a kubectl plugin that takes over batch/v1 with Batchgate, rolls
// back, and shows the status.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/batchgate/batchgate/cmd/kubectl-batchgate/app"
)

func main() {
	os.Exit(run())
}

func run() int {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup makes a process ignore it
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), signals...)
	defer cancel()
	// Ctrl-C also ends the reader of a pipe, such as tee. Writing to that pipe must not kill the
	// plugin before it has undone its changes.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	return app.Main(ctx, genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}, os.Args[1:])
}
