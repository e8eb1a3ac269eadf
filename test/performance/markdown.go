// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"
)

// markdown returns the goals and a table for each measurement, with a row for each arm.
func (r *results) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "`%s` on %s: %s.\n", r.Command, r.Machine, strings.Join(r.Versions, ", "))
	fmt.Fprintf(&b, "Medians of slices of %g s, with the 10th and 90th percentile in parentheses. Ratios are medians of the ratios to the first row (or the other direct connection) in the same round, or, for CPU time, the ratios of the means, with half of their 95%% confidence interval after ±.\n\n", r.Seconds)
	r.goalTable(&b)
	for _, m := range slices.Concat(r.Requests, r.Policies) {
		title := m.String()
		if m.PolicyCount > 0 {
			title += ", " + count(m.PolicyCount, "policy", "policies")
		}
		if m.EndedWatches > 0 {
			title += ", of which servers have ended " + count(m.EndedWatches, "watch", "watches")
		}
		fmt.Fprintf(&b, "\n### %s\n\n%s", title, m.table())
	}
	r.completionTable(&b)
	r.sizeTable(&b)
	return b.String()
}

// table compares the arms of a measurement.
func (m *measured) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s | per second | ratio | p50 ms | ratio | CPU ms of the API servers | ratio | of kube-apiserver | Batchgate | webhook | etcd |\n", count(len(m.Rounds), "round", "rounds"))
	b.WriteString("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, arm := range m.Arms {
		base := m.base(arm)
		fmt.Fprintf(&b, "| %s |", arm)
		for _, f := range []figure{perSecond, p50, apiServers} {
			fmt.Fprintf(&b, " %s | %s |", significant(m.of(arm, f).Value), m.ratio(arm, f, base, f).withPrecision())
		}
		for _, process := range []string{"kube-apiserver", "batchgate", "webhook", "etcd"} {
			text := nonzero(m.of(arm, cpuOf(process)).Value)
			if ratio := m.ratio(arm, cpuOf(process), base, cpuOf(process)); arm != base && text != "" && ratio.Value > 0 {
				text += fmt.Sprintf(" (x%.2f)", ratio.Value)
			}
			fmt.Fprintf(&b, " %s |", text)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func (r *results) completionTable(b *strings.Builder) {
	if len(r.Completions) == 0 {
		return
	}
	b.WriteString("\n### Jobs to completion\n\n| Jobs | QPS of the Job controller | | seconds | p50 s of a Job |\n| --- | --- | --- | --- | --- |\n")
	for _, c := range r.Completions {
		fmt.Fprintf(b, "| %s | %g | %s | %s | %s |\n", number(c.Jobs), c.QPS, c.Arm, significant(c.Seconds), significant(c.P50))
	}
}

func (r *results) sizeTable(b *strings.Builder) {
	if len(r.Sizes) == 0 {
		return
	}
	b.WriteString("\n### Numbers of Jobs\n\n| Jobs | | ready after s | list s | watch s | resident MiB |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, jobs := range r.numbers() {
		for _, server := range []string{native, direct} {
			fmt.Fprintf(b, "| %s | %s |", number(jobs), server)
			for _, f := range []func(size) float64{ready, list, watch, memory} {
				fmt.Fprintf(b, " %s |", r.sizes(server, jobs, f))
			}
			b.WriteString("\n")
		}
	}
	for _, jobs := range r.numbers() {
		if s := r.kubectlSeconds(aggregated, jobs); s.Value > 0 {
			fmt.Fprintf(b, "\nkubectl get jobs of %s takes %s s, natively %s s.\n", count(jobs, "Job", "Jobs"), s, r.kubectlSeconds(native, jobs))
		}
	}
	for _, t := range r.Takeovers {
		fmt.Fprintf(b, "\nA takeover with %s Jobs took %s s, and the plugin %s MiB.\n", number(t.Jobs), significant(t.Seconds), significant(t.Resident))
	}
}

// numbers returns the numbers of Jobs that were measured, in ascending order.
func (r *results) numbers() []int {
	var numbers []int
	for _, s := range r.Sizes {
		numbers = append(numbers, s.Jobs)
	}
	slices.Sort(numbers)
	return slices.Compact(numbers)
}

// sizes returns a figure of a server with this many Jobs.
func (r *results) sizes(server string, jobs int, f func(size) float64) spread {
	var figures []float64
	for _, s := range r.Sizes {
		if s.Server == server && s.Jobs == jobs {
			figures = append(figures, f(s))
		}
	}
	return newSpread(figures)
}

// kubectlSeconds returns how long kubectl get jobs takes. It is zero if that was not measured.
func (r *results) kubectlSeconds(arm string, jobs int) spread {
	var seconds []float64
	for _, g := range r.KubectlGets {
		if g.Arm == arm && g.Jobs == jobs {
			seconds = append(seconds, g.Seconds)
		}
	}
	return newSpread(seconds)
}

func ready(s size) float64  { return s.Ready }
func list(s size) float64   { return s.List }
func watch(s size) float64  { return s.Watch }
func memory(s size) float64 { return s.Resident }
