// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"
)

// markdown returns the goals and one table per operation, with a row per variant.
func (r *results) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "`%s` on %s: %s.\n", r.Command, r.Machine, strings.Join(r.Versions, ", "))
	fmt.Fprintf(&b, "Medians of %s of %g s, with the lowest and highest value in parentheses. Each round measures policies twice. Ratios compare measurements of the same pass.\n", count(r.Rounds, "round", "rounds"), r.Seconds)
	b.WriteString("\n")
	r.goalTable(&b)
	for _, group := range r.groups() {
		r.table(&b, group)
	}
	r.sizeTable(&b)
	return b.String()
}

// groups returns the cells of all variants once, without the variant.
func (r *results) groups() []cell {
	var groups []cell
	for _, m := range r.Cells {
		group := m.cell
		group.Variant = ""
		if !slices.Contains(groups, group) {
			groups = append(groups, group)
		}
	}
	return groups
}

func (r *results) table(b *strings.Builder, group cell) {
	fmt.Fprintf(b, "\n### %s, %s%s\n\n", group.Operation, count(group.Clients, "client", "clients"), map[string]string{withRole: ", a user with a role", admin: ", an admin"}[group.User])
	// Received events have no latency.
	counted := strings.HasPrefix(group.Operation, received)
	if counted {
		b.WriteString("| | events/s | of native |\n| --- | --- | --- |\n")
	} else {
		b.WriteString("| | requests/s | of native | p50 ms | p99 ms | CPU ms/request: kube-apiserver | Batchgate | webhook | etcd |\n")
		b.WriteString("| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
	}
	base := group
	base.Variant = native.name
	for _, m := range r.Cells {
		c := m.cell
		if c.Variant = ""; c != group {
			continue
		}
		c.Variant = m.Variant
		fmt.Fprintf(b, "| %s | %s | %s |", c.Variant, r.of(c, perSecond), r.ratio(c, perSecond, base, perSecond))
		if counted {
			b.WriteString("\n")
			continue
		}
		fmt.Fprintf(b, " %s | %s |", nonzero(r.of(c, p50)), nonzero(r.of(c, p99)))
		for _, process := range []string{"kube-apiserver", "batchgate", "webhook", "etcd"} {
			fmt.Fprintf(b, " %s |", nonzero(r.of(c, cpuOfProcesses(process))))
		}
		b.WriteString("\n")
	}
}

// nonzero formats the median. It returns nothing if the median is zero: the figure was not measured, or
// the process was not involved.
func nonzero(s spread) string {
	if s.Median == 0 {
		return ""
	}
	return significant(s.Median)
}

func (r *results) sizeTable(b *strings.Builder) {
	if len(r.Sizes) == 0 {
		return
	}
	b.WriteString("\n### Numbers of Jobs\n\n| Jobs | | ready after s | list s | watch s | resident MiB |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, jobs := range r.numbers() {
		for _, server := range []string{native.name, direct.name} {
			fmt.Fprintf(b, "| %s | %s |", number(jobs), server)
			for _, f := range []func(size) float64{ready, list, watch} {
				fmt.Fprintf(b, " %s |", r.sizes(server, jobs, f))
			}
			fmt.Fprintf(b, " %s |\n", r.sizes(server, jobs, memory))
		}
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

func ready(s size) float64  { return s.Ready }
func list(s size) float64   { return s.List }
func watch(s size) float64  { return s.Watch }
func memory(s size) float64 { return s.Resident }
