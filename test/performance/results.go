package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// cell is what a measurement is about.
type cell struct {
	Arm, Operation string
	Clients        int
	User           string // masters, or limited
}

// results is what results.json has.
type results struct {
	// Command is what has measured, Machine where, Versions of what.
	Command, Machine string
	Versions         []string
	Rounds           int
	Seconds          float64
	Jobs             int
	// Cells have a sample for each round, in order.
	Cells []*measured
	Sizes []size
	// Gate is what the Go benchmarks of the gate have printed.
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

// find returns nil for what was not measured.
func (r *results) find(c cell) *measured {
	for _, m := range r.Cells {
		if m.cell == c {
			return m
		}
	}
	return nil
}

// keep takes over what an earlier run has measured and this one will not.
func (r *results) keep(directory string, p parts) error {
	content, err := os.ReadFile(filepath.Join(directory, "results.json"))
	if os.IsNotExist(err) || len(p) == 0 {
		return nil
	}
	var earlier results
	if err == nil {
		err = json.Unmarshal(content, &earlier)
	}
	if err != nil {
		return err
	}
	if earlier.Machine != r.Machine || earlier.Rounds != r.Rounds || !slices.Equal(earlier.Versions, r.Versions) {
		return fmt.Errorf("%s has what was measured on another machine, of other versions or in more or fewer rounds: give another -out", directory)
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

// part returns which part a cell is of.
func part(c cell) string {
	for _, name := range []string{"policies", "watchers"} {
		if strings.HasSuffix(c.Operation, " "+name) {
			return name
		}
	}
	return "requests"
}

// write writes everything into the directory.
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
	for name, plot := range r.plots() {
		files[name+".svg"] = plot
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	progress("wrote %s", directory)
	return nil
}

// spread is the median of some figures, with the lowest and the highest.
type spread struct{ Median, Low, High float64 }

func newSpread(figures []float64) spread {
	if len(figures) == 0 {
		return spread{}
	}
	slices.Sort(figures)
	n := len(figures)
	return spread{(figures[(n-1)/2] + figures[n/2]) / 2, figures[0], figures[n-1]}
}

// scaled returns it in another unit.
func (s spread) scaled(factor float64) spread {
	return spread{s.Median * factor, s.Low * factor, s.High * factor}
}

// figure is a figure of a sample.
type figure func(sample) float64

func perSecond(s sample) float64 { return s.PerSecond }
func p50(s sample) float64       { return s.P50 }
func p99(s sample) float64       { return s.P99 }

// cpuOfProcesses is the CPU time of some processes for each request.
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

// ratio compares two cells round by round.
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

// sizes returns a figure of a server's sizes with so many Jobs.
func (r *results) sizes(server string, jobs int, f func(size) float64) spread {
	var figures []float64
	for round := range r.Rounds {
		figures = append(figures, f(r.size(server, jobs, round)))
	}
	return newSpread(figures)
}

// size is what a server was like with so many Jobs in a round. They are in the order of rounds.
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

// sizeRatio compares Batchgate with kube-apiserver round by round.
func (r *results) sizeRatio(f func(server string, round int) float64) spread {
	var figures []float64
	for round := range r.Rounds {
		figures = append(figures, f(direct.name, round)/f(native.name, round))
	}
	return newSpread(figures)
}
