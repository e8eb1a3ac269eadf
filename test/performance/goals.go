// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"strings"
)

// goal is a bound for a figure: a minimum if atLeast is set, otherwise a maximum.
type goal struct {
	name    string
	atLeast bool
	want    float64
	got     spread
}

func (g goal) reached() bool {
	if g.atLeast {
		return g.got.Value >= g.want
	}
	return g.got.Value <= g.want
}

// Measurements for goals.
var (
	patches          = measurement{Operation: "patch", User: withRole, Clients: 16}
	steadyPatches    = measurement{Operation: "patch", User: withRole, Clients: 16, Rate: 100}
	gets             = measurement{Operation: "get", User: withRole, Clients: 16}
	goalMeasurements = []measurement{patches, steadyPatches, gets}
)

// goals returns all goals. The figure of a goal that was not measured is zero.
func (r *results) goals() []goal {
	patches, steady, gets := r.find(patches), r.find(steadyPatches), r.find(gets)
	goals := []goal{
		{"patch throughput, aggregated / native, 16 clients", true, 0.88, patches.ratio(aggregated, perSecond, native, perSecond)},
		{"CPU of both API servers per patch, aggregated / native, 16 clients", false, 1.3, patches.ratio(aggregated, apiServers, native, apiServers)},
		{"p50 of patches at 100 per second, aggregated / native", false, 1.25, steady.ratio(aggregated, p50, native, p50)},
		{"CPU per patch, the process of Batchgate (direct) / of kube-apiserver (native), 16 clients", false, 0.75, patches.ratio(direct, batchgate, native, cpuOf("kube-apiserver"))},
		{"get throughput, aggregated / native, 16 clients", true, 0.65, gets.ratio(aggregated, perSecond, native, perSecond)},
		{"1,000 Jobs to completion, taken over / native, default QPS", false, 1.02, r.completionRatio(defaultQPS)},
		{"1,000 Jobs to completion, taken over / native, QPS 200", false, 1.1, r.completionRatio(raisedQPS)},
		{"gate, a granted update with 1,000 different policies of 256 fields, ms", false, 0.2, r.benchmark(manyPolicies, "sec/op").scaled(1e3)},
		{"gate, an allowed update of an ordinary Job, us", false, 5, r.benchmark(allowedUpdate, "sec/op").scaled(1e6)},
		{"gate, a denied update of an ordinary Job, us", false, 500, r.benchmark(deniedUpdate, "sec/op").scaled(1e6)},
	}
	if numbers := r.numbers(); len(numbers) > 1 {
		few, many := numbers[0], numbers[len(numbers)-1]
		growth := func(server string, f func(size) float64) float64 {
			return r.sizes(server, many, f).Value - r.sizes(server, few, f).Value
		}
		goals = append(goals,
			goal{fmt.Sprintf("resident memory, %s Jobs, MiB", number(few)), false, 100, r.sizes(direct, few, memory)},
			goal{fmt.Sprintf("resident memory per Job at %s Jobs, Batchgate / kube-apiserver", number(many)), false, 0.7, newSpread([]float64{growth(direct, memory) / growth(native, memory)})},
			goal{fmt.Sprintf("ready from start, %s Jobs, s", number(few)), false, 0.7, r.sizes(direct, few, ready)},
			goal{fmt.Sprintf("ready from start at %s Jobs, Batchgate / kube-apiserver", number(many)), false, 0.7, newSpread([]float64{r.sizes(direct, many, ready).Value / r.sizes(native, many, ready).Value})},
		)
	}
	for _, t := range r.Takeovers {
		goals = append(goals,
			goal{fmt.Sprintf("takeover with %s Jobs, s", number(t.Jobs)), false, 60, newSpread([]float64{t.Seconds})},
			goal{"memory of the plugin at this takeover, MiB", false, 500, newSpread([]float64{t.Resident})})
	}
	return goals
}

func (r *results) goalTable(b *strings.Builder) {
	b.WriteString("| figure | goal | got | |\n| --- | --- | --- | --- |\n")
	for _, g := range r.goals() {
		if g.got.Value == 0 || math.IsNaN(g.got.Value) {
			continue // not measured in this run
		}
		sign, result := "<=", "missed"
		if g.atLeast {
			sign = ">="
		}
		if g.reached() {
			result = "reached"
		}
		fmt.Fprintf(b, "| %s | %s %g | %s | %s |\n", g.name, sign, g.want, g.got, result)
	}
}
