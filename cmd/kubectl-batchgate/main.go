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
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	os.Exit(app.Main(ctx, genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}, os.Args[1:]))
}
