// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
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
		return g.got.Median >= g.want
	}
	return g.got.Median <= g.want
}

// goals returns all goals. The figure of a goal that was not measured is zero.
func (r *results) goals() []goal {
	at := func(a *variant, clients int, user string) cell { return cell{a.name, "patch", clients, user} }
	// policies compares patches with 1,000 policies and with one.
	policies := func(patch string, all bool) spread {
		with := func(n int) cell {
			return cell{granted(n, all).name, withPolicies(patch, n), 32, admin}
		}
		return r.ratio(with(1000), perSecond, with(1), perSecond)
	}
	goals := []goal{
		{"patch throughput, direct / native, 32 clients", true, 1.3, r.ratio(at(direct, 32, admin), perSecond, at(native, 32, admin), perSecond)},
		{"patch p50, direct / native, 1 client", false, 0.75, r.ratio(at(direct, 1, admin), p50, at(native, 1, admin), p50)},
		{"patch throughput, aggregated / native + admission policy, 32 clients, a user with a role", true, 1, r.ratio(at(aggregated, 32, withRole), perSecond, at(withAdmissionPolicy, 32, withRole), perSecond)},
		{"CPU per patch, Batchgate (direct) / kube-apiserver (native), 32 clients", false, 0.7, r.ratio(at(direct, 32, admin), cpuOfProcesses("batchgate"), at(native, 32, admin), cpuOfProcesses("kube-apiserver"))},
		{"patch throughput, 1,000 policies, for other namespaces / 1 policy", true, 0.95, policies("patch", false)},
		{"granted patch throughput, 1,000 policies, for other namespaces / 1 policy", true, 0.95, policies("granted patch", false)},
		{"patch throughput, 1,000 policies, all for the namespace / 1 policy", true, 0.95, policies("patch", true)},
		{"granted patch throughput, 1,000 policies, all for the namespace / 1 policy", true, 0.95, policies("granted patch", true)},
	}
	goals = append(goals,
		goal{"gate, an allowed update of an ordinary Job, us", false, 5, r.benchmark(allowedUpdate, "sec/op").scaled(1e6)},
		goal{"gate, an allowed update of an ordinary Job, allocations", false, 2, r.benchmark(allowedUpdate, "allocs/op")},
		goal{"gate, a denied update of an ordinary Job, us", false, 500, r.benchmark(deniedUpdate, "sec/op").scaled(1e6)},
	)
	if numbers := r.numbers(); len(numbers) > 1 {
		few, many := numbers[0], numbers[len(numbers)-1]
		goals = append(goals,
			goal{fmt.Sprintf("resident memory, %s Jobs, MiB", number(few)), false, 100, r.sizes(direct.name, few, memory)},
			goal{fmt.Sprintf("resident memory per Job at %s Jobs, Batchgate / kube-apiserver", number(many)), false, 0.7, r.sizeRatio(func(server string, round int) float64 {
				return r.size(server, many, round).Resident - r.size(server, few, round).Resident
			})},
			goal{fmt.Sprintf("ready from start, %s Jobs, s", number(few)), false, 0.7, r.sizes(direct.name, few, ready)},
			goal{fmt.Sprintf("ready from start at %s Jobs, Batchgate / kube-apiserver", number(many)), false, 0.7, r.sizeRatio(func(server string, round int) float64 { return r.size(server, many, round).Ready })},
		)
	}
	return goals
}

func (r *results) goalTable(b *strings.Builder) {
	b.WriteString("| figure | goal | got | |\n| --- | --- | --- | --- |\n")
	for _, g := range r.goals() {
		if g.got.Median == 0 {
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
