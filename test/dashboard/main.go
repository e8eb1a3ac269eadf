// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Command dashboard draws the Grafana dashboard of artifacts/components/monitoring for the docs. It runs
// a control plane with two replicas of Batchgate, sends requests, scrapes the servers, and evaluates the
// queries of all panels with Prometheus' engine.
//
//	go -C test run ./dashboard           # takes ten minutes
//	go -C test run ./dashboard -redraw   # draws the last recording again
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/batchgate/batchgate/test/framework"
)

func main() {
	duration := flag.Duration("duration", 10*time.Minute, "Duration of the recording.")
	redraw := flag.Bool("redraw", false, "Draw the recording in _output/dashboard again instead of creating a new one.")
	out := flag.String("out", "docs/images/dashboard.svg", "File of the picture.")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, *duration, *redraw, *out); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, duration time.Duration, redraw bool, out string) error {
	// The go command runs this program in the directory of the test module.
	root, err := framework.Root()
	if err != nil {
		return err
	}
	if err := os.Chdir(root); err != nil {
		return err
	}
	dashboard, err := framework.ReadDashboard()
	if err != nil {
		return err
	}
	file := filepath.Join("_output", "dashboard", "recording.json")
	if !redraw {
		if err := createRecording(ctx, dashboard, duration, file); err != nil {
			return err
		}
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var scrapes []framework.Scrape
	if err := json.Unmarshal(content, &scrapes); err != nil {
		return err
	}
	panels, from, to, err := evaluate(ctx, dashboard, scrapes)
	if err != nil {
		return err
	}
	return os.WriteFile(out, []byte(draw(dashboard.Title, panels, from, to)), 0o644)
}

// createRecording runs a cluster and writes what its servers expose to a file.
func createRecording(ctx context.Context, dashboard *framework.Dashboard, duration time.Duration, file string) (err error) {
	dir, err := os.MkdirTemp("", "batchgate-dashboard-")
	if err != nil {
		return err
	}
	// Keep the logs of a run that failed, unless it was interrupted.
	defer func() {
		if err == nil || ctx.Err() != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	binaries, err := framework.Build(ctx, dir)
	if err != nil {
		return err
	}
	cluster, err := framework.StartCluster(ctx, dir, binaries, framework.ClusterOptions{})
	defer func() { err = errors.Join(err, cluster.Stop()) }()
	if err != nil {
		return err
	}
	if err := cluster.InstallReplicas(ctx, 2); err != nil {
		return err
	}
	if err := cluster.TakeOver(ctx); err != nil {
		return err
	}
	scrapes, err := record(ctx, cluster, dashboard, duration)
	if err != nil {
		return err
	}
	content, err := json.Marshal(scrapes)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, content, 0o644)
}
