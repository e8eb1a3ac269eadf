// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/batchgate/batchgate/test/framework"
)

// plan configures the measurements.
type plan struct {
	rounds   int            // per measurement; the results show the median
	duration time.Duration  // of one measurement
	warmUp   time.Duration  // before each measurement
	idle     time.Duration  // of the servers before the warm-up
	jobs     int            // number of Jobs that requests use
	only     *regexp.Regexp // which requests to measure, as server/operation
	policies []int          // numbers of policies
	watchers []int          // numbers of watches
	scale    []int          // numbers of Jobs
}

var (
	full  = plan{rounds: 3, duration: 3 * time.Second, warmUp: time.Second, idle: 2 * time.Second, jobs: 2048, policies: []int{1, 10, 100, 1000}, watchers: []int{1, 10, 100, 1000}, scale: []int{0, 1000, 10_000, 100_000}}
	quick = plan{rounds: 1, duration: 300 * time.Millisecond, warmUp: 100 * time.Millisecond, jobs: 128, policies: []int{1, 10}, watchers: []int{1, 10}, scale: []int{0, 1000}}
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "webhook" {
		serveWebhook(os.Args[2:])
		return
	}
	var parts parts
	out := flag.String("out", "", "Directory for results.json, results.md and gate.txt. The default is _output/benchmark, or _output/benchmark-quick with -quick.")
	updateDocs := flag.Bool("update-docs", false, "Measure nothing. Write docs/generated/performance.md, docs/images/cost.svg and the goals in test/performance/README.md from the results in -out.")
	isQuick := flag.Bool("quick", false, "Only check that everything runs. Do not use the figures.")
	rounds := flag.Int("rounds", 0, "Rounds per measurement. The default is 3, or 1 with -quick.")
	server := flag.String("server", "", "File of the batchgate-apiserver to measure. By default it is built from the work tree.")
	profile := flag.String("cpuprofile", "", "File for a CPU profile of Batchgate. Nothing else is measured.")
	only := flag.String("run", "", "Regular expression for the requests to measure, matched with server/operation. The default is all.")
	flag.Var(&parts, "parts", "Comma-separated list of what to measure: requests, policies, watchers, scale, gate. The default is all. Results of other parts in -out are kept.")
	flag.Parse()
	p, directory := full, "_output/benchmark"
	if *isQuick {
		p, directory = quick, "_output/benchmark-quick"
	}
	if *out != "" {
		directory = *out
	}
	if *updateDocs {
		if err := updateDocsFrom(directory); err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			os.Exit(1)
		}
		return
	}
	var err error
	if p.only, err = regexp.Compile(*only); err != nil {
		fmt.Fprintln(os.Stderr, "error: -run:", err)
		os.Exit(1)
	}
	if *rounds > 0 {
		p.rounds = *rounds
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := run(ctx, p, parts, *server, *profile, directory); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// enterRoot changes to the root of the work tree, because the go command runs this program in the
// directory of the test module.
func enterRoot() error {
	root, err := framework.Root()
	if err != nil {
		return err
	}
	return os.Chdir(root)
}

func run(ctx context.Context, p plan, parts parts, server, profile, out string) (err error) {
	if err := enterRoot(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "batchgate-benchmark-")
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
	if server != "" {
		if binaries.Batchgate, err = filepath.Abs(server); err != nil {
			return err
		}
	}
	b := &bench{plan: p, dir: dir}
	defer func() { err = errors.Join(err, b.stop()) }()
	if err := b.start(ctx, binaries); err != nil {
		return err
	}
	if profile != "" {
		return b.profileBatchgate(ctx, profile)
	}
	versions, err := b.versions(ctx)
	if err != nil {
		return err
	}
	command := "make bench"
	if len(os.Args) > 1 {
		command += fmt.Sprintf(" BENCH=%q", strings.Join(os.Args[1:], " "))
	}
	r := &results{Command: command, Machine: machine(), Versions: versions, Rounds: p.rounds, Seconds: p.duration.Seconds(), Jobs: p.jobs}
	if err := r.keepOtherParts(out, parts); err != nil {
		return err
	}
	for _, part := range []struct {
		name string
		run  func(context.Context, *results) error
	}{
		{"requests", b.requests}, {"policies", b.policies}, {"watchers", b.watchers}, {"scale", b.scale}, {"gate", b.gate},
	} {
		if !parts.has(part.name) {
			continue
		}
		if err := part.run(ctx, r); err != nil {
			return fmt.Errorf("measuring %s: %w", part.name, err)
		}
		// Write after each part, so that a failure of the next one loses nothing.
		if err := r.write(out); err != nil {
			return err
		}
	}
	return nil
}
