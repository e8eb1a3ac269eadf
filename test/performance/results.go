// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// cell identifies a series of measurements.
type cell struct {
	Variant, Operation string
	Clients            int
	User               string // admin or withRole
}

// results is the content of results.json.
type results struct {
	// Command is the command line of the run.
	Command, Machine string
	Versions         []string
	Rounds           int
	// Seconds is the duration of one measurement.
	Seconds float64
	Jobs    int
	// Cells have one sample per round, in order.
	Cells []*measured
	Sizes []size
	// Gate is the output of the Go benchmarks of the gate.
	Gate string
}

type measured struct {
	cell
	Samples []sample
}

func (r *results) add(c cell, s sample) {
	if m := r.find(c); m != nil {
		m.Samples = append(m.Samples, s)
		return
	}
	r.Cells = append(r.Cells, &measured{c, []sample{s}})
}

// find returns nil if the cell was not measured.
func (r *results) find(c cell) *measured {
	for _, m := range r.Cells {
		if m.cell == c {
			return m
		}
	}
	return nil
}

// keepOtherParts copies results of an earlier run for the parts that this run does not measure.
func (r *results) keepOtherParts(directory string, p parts) error {
	earlier, err := readResults(directory)
	if errors.Is(err, fs.ErrNotExist) || len(p) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	if earlier.Machine != r.Machine || earlier.Rounds != r.Rounds || !slices.Equal(earlier.Versions, r.Versions) {
		return fmt.Errorf("%s has results from a different machine, version or number of rounds: use another -out", directory)
	}
	for _, m := range earlier.Cells {
		if !p.has(part(m.cell)) {
			r.Cells = append(r.Cells, m)
		}
	}
	if !p.has("scale") {
		r.Sizes = earlier.Sizes
	}
	if !p.has("gate") {
		r.Gate = earlier.Gate
	}
	r.Command = earlier.Command + "`, then `" + r.Command
	return nil
}

// part returns the name of the part that a cell belongs to.
func part(c cell) string {
	switch words := strings.Fields(c.Operation); words[len(words)-1] {
	case "policy", "policies":
		return "policies"
	case "watcher", "watchers":
		return "watchers"
	default:
		return "requests"
	}
}

// readResults reads the results.json in a directory.
func readResults(directory string) (*results, error) {
	content, err := os.ReadFile(filepath.Join(directory, "results.json"))
	if err != nil {
		return nil, err
	}
	r := &results{}
	return r, json.Unmarshal(content, r)
}

// write writes results.json, results.md and gate.txt to the directory.
func (r *results) write(directory string) error {
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return err
	}
	content, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	files := map[string]string{"results.json": string(content) + "\n", "results.md": r.markdown()}
	if r.Gate != "" {
		files["gate.txt"] = r.Gate
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	progress("wrote %s", directory)
	return nil
}

// spread is the median, the lowest and the highest of some figures.
type spread struct{ Median, Low, High float64 }

func newSpread(figures []float64) spread {
	if len(figures) == 0 {
		return spread{}
	}
	slices.Sort(figures)
	n := len(figures)
	return spread{(figures[(n-1)/2] + figures[n/2]) / 2, figures[0], figures[n-1]}
}

// scaled converts the spread to another unit.
func (s spread) scaled(factor float64) spread {
	return spread{s.Median * factor, s.Low * factor, s.High * factor}
}

// figure selects a figure of a sample.
type figure func(sample) float64

func perSecond(s sample) float64 { return s.PerSecond }
func p50(s sample) float64       { return s.P50 }
func p99(s sample) float64       { return s.P99 }

// cpuOfProcesses selects the CPU time per request of some processes.
func cpuOfProcesses(names ...string) figure {
	return func(s sample) float64 {
		sum := 0.0
		for _, name := range names {
			sum += s.CPU[name]
		}
		return sum
	}
}

func (r *results) of(c cell, f figure) spread {
	m := r.find(c)
	if m == nil {
		return spread{}
	}
	var figures []float64
	for _, s := range m.Samples {
		figures = append(figures, f(s))
	}
	return newSpread(figures)
}

// ratio divides the figures of two cells, sample by sample.
func (r *results) ratio(c cell, f figure, base cell, g figure) spread {
	m, n := r.find(c), r.find(base)
	if m == nil || n == nil {
		return spread{}
	}
	var figures []float64
	for i := range min(len(m.Samples), len(n.Samples)) {
		if of := g(n.Samples[i]); of > 0 {
			figures = append(figures, f(m.Samples[i])/of)
		}
	}
	return newSpread(figures)
}

// sizes returns a figure of a server with this many Jobs.
func (r *results) sizes(server string, jobs int, f func(size) float64) spread {
	var figures []float64
	for round := range r.Rounds {
		figures = append(figures, f(r.size(server, jobs, round)))
	}
	return newSpread(figures)
}

// size returns the size of a server with this many Jobs in a round. Sizes are in the order of rounds.
func (r *results) size(server string, jobs, round int) size {
	for _, s := range r.Sizes {
		if s.Server != server || s.Jobs != jobs {
			continue
		}
		if round == 0 {
			return s
		}
		round--
	}
	return size{}
}

// sizeRatio divides a figure of Batchgate by the same figure of kube-apiserver, round by round.
func (r *results) sizeRatio(f func(server string, round int) float64) spread {
	var figures []float64
	for round := range r.Rounds {
		figures = append(figures, f(direct.name, round)/f(native.name, round))
	}
	return newSpread(figures)
}

// count returns a number with the right form of a noun.
func count(n int, singular, plural string) string {
	if n == 1 {
		return "1 " + singular
	}
	return fmt.Sprint(n, " ", plural)
}
