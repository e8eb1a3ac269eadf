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

// plan is how much is measured.
type plan struct {
	rounds   int           // of each measurement, of which the median counts
	duration time.Duration // of one measurement
	warmUp   time.Duration // before it
	rest     time.Duration // of the servers, before that
	jobs     int           // that are there to be changed
	only     *regexp.Regexp
	policies []int
	watchers []int
	scale    []int // numbers of Jobs
}

var (
	full  = plan{rounds: 3, duration: 3 * time.Second, warmUp: time.Second, rest: 2 * time.Second, jobs: 2048, policies: []int{1, 10, 100, 1000}, watchers: []int{1, 10, 100, 1000}, scale: []int{0, 1000, 10_000, 100_000}}
	quick = plan{rounds: 1, duration: 300 * time.Millisecond, warmUp: 100 * time.Millisecond, jobs: 128, policies: []int{1, 10}, watchers: []int{1, 10}, scale: []int{0, 1000}}
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "webhook" {
		serveWebhook(os.Args[2:])
		return
	}
	var parts parts
	out := flag.String("out", "docs/benchmarks", "directory for results.json, results.md and the plots")
	isQuick := flag.Bool("quick", false, "only see that everything runs: the figures mean nothing")
	rounds := flag.Int("rounds", 0, "rounds of each measurement; by default 3, with -quick 1")
	server := flag.String("server", "", "a batchgate-apiserver to measure, instead of that of the work tree")
	profile := flag.String("cpuprofile", "", "only write a CPU profile of Batchgate to this file")
	only := flag.String("run", "", "of the requests, those whose arm/operation match this regular expression; by default all")
	flag.Var(&parts, "parts", "what to measure, separated by commas: requests, policies, watchers, scale, gate; by default all. What -out has of the others stays")
	flag.Parse()
	p := full
	if *isQuick {
		p = quick
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
	if err := run(ctx, p, parts, *server, *profile, *out); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, p plan, parts parts, server, profile, out string) (err error) {
	dir, err := os.MkdirTemp("", "batchgate-benchmark-")
	if err != nil {
		return err
	}
	// The logs of a run that failed by itself stay.
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
	command := strings.Join(append([]string{"go run ./test/performance"}, os.Args[1:]...), " ")
	r := &results{Command: command, Machine: machine(), Versions: versions, Rounds: p.rounds, Seconds: p.duration.Seconds(), Jobs: p.jobs}
	if err := r.keep(out, parts); err != nil {
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
		// After each, so that what has been measured is not lost with the next.
		if err := r.write(out); err != nil {
			return err
		}
	}
	return nil
}
