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
	duration             time.Duration  // of a slice
	settle               time.Duration  // between slices
	minRounds, maxRounds int            // of slices; after each minRounds the precision is checked
	goalRounds           int            // maximum number of rounds of a measurement for a goal
	precision            float64        // to stop before maxRounds, as a share of the ratios
	jobs                 int            // number of Jobs that requests use
	watches              int            // maximum number of watches
	only                 *regexp.Regexp // which measurements of requests to take
	policies             int            // number of policies
	scale                []int          // numbers of Jobs
	scaleRounds          int
	completionJobs       int
	completionRounds     int
	gateRounds           int
	gateTime             time.Duration
	profileRounds        int
}

var (
	full = plan{
		duration: 1200 * time.Millisecond, settle: 100 * time.Millisecond, minRounds: 10, maxRounds: 20, goalRounds: 60, precision: 0.03, jobs: 2048, watches: 1000,
		policies: 1000, scale: []int{0, 1000, 10_000, 100_000}, scaleRounds: 3, completionJobs: 1000, completionRounds: 2,
		gateRounds: 5, gateTime: 500 * time.Millisecond, profileRounds: 10,
	}
	quick = plan{
		duration: 100 * time.Millisecond, settle: 10 * time.Millisecond, minRounds: 1, maxRounds: 1, goalRounds: 1, jobs: 128, watches: 10,
		policies: 10, scale: []int{0, 1000}, scaleRounds: 1, completionJobs: 10, completionRounds: 1,
		gateRounds: 1, gateTime: 50 * time.Millisecond, profileRounds: 1,
	}
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
	rounds := flag.Int("rounds", 0, "Maximum number of rounds of a measurement of requests. The default is 20, 60 for the figures of goals, and 1 with -quick. It takes fewer if the ratios are known to within 3%.")
	server := flag.String("server", "", "File of the batchgate-apiserver to measure. By default it is built from the work tree.")
	base := flag.String("base", "", "File of another batchgate-apiserver. Only the two are compared, and the part is requests.")
	profile := flag.String("cpuprofile", "", "File for a CPU profile of Batchgate. Nothing else is measured.")
	only := flag.String("run", "", "Regular expression for the measurements of requests to take. The default is all; with -base: patches, gets and lists by 16 clients.")
	flag.Var(&parts, "parts", "Comma-separated list of what to measure: requests, policies, scale, completion, gate. The default is all. Results of other parts in -out are kept.")
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
	if *base != "" {
		parts = []string{"requests"}
		if *only == "" {
			*only = compared
		}
	}
	var err error
	if p.only, err = regexp.Compile(*only); err != nil {
		fmt.Fprintln(os.Stderr, "error: -run:", err)
		os.Exit(1)
	}
	if selected := (&bench{plan: p}).selected(); parts.has("requests") && len(selected) == 0 {
		fmt.Fprintf(os.Stderr, "error: -run=%s: selects no measurement\n", *only)
		os.Exit(1)
	}
	if *rounds > 0 {
		p.maxRounds, p.goalRounds, p.minRounds = *rounds, *rounds, min(p.minRounds, *rounds)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	err = run(ctx, p, parts, *server, *base, *profile, directory)
	if ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// compared selects the measurements that compare two binaries.
const compared = "^(patch|get|list of 100), 16 clients$"

// enterRoot changes to the root of the work tree, so that the program also runs in another directory.
func enterRoot() error {
	root, err := framework.Root()
	if err != nil {
		return err
	}
	return os.Chdir(root)
}

func run(ctx context.Context, p plan, parts parts, server, base, profile, out string) (err error) {
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
	if base != "" {
		if base, err = filepath.Abs(base); err != nil {
			return err
		}
	}
	b := &bench{plan: p, dir: dir, binaries: binaries, base: base}
	defer func() { err = errors.Join(err, b.stop()) }()
	if err := b.start(ctx); err != nil {
		return err
	}
	if profile != "" {
		return b.profileBatchgate(ctx, profile)
	}
	versions, err := b.gated.versions(ctx)
	if err != nil {
		return err
	}
	command := "make bench"
	if len(os.Args) > 1 {
		command += fmt.Sprintf(" BENCH=%q", strings.Join(os.Args[1:], " "))
	}
	r := &results{Command: command, Machine: machine(), Versions: versions, Seconds: p.duration.Seconds(), Jobs: p.jobs}
	if base != "" {
		return b.requests(ctx, r)
	}
	if err := r.keepOtherParts(out, parts); err != nil {
		return err
	}
	for _, part := range []struct {
		name string
		run  func(context.Context, *results) error
	}{
		{"requests", b.requests}, {"policies", b.policies}, {"scale", b.scale}, {"completion", b.completion}, {"gate", b.gate},
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
