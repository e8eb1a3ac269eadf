// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"strings"
)

// bar is a bar of a plot.
type bar struct {
	label string
	value spread
}

// plots returns the plots by name, as SVG.
func (r *results) plots() map[string]string {
	plots := map[string]string{}
	for _, user := range []string{"masters", limited} {
		var throughput, latency []bar
		for _, v := range variants {
			throughput = append(throughput, bar{v.name, r.of(cell{v.name, "patch", 32, user}, perSecond)})
			latency = append(latency, bar{v.name, r.of(cell{v.name, "patch", 1, user}, p50)})
		}
		plots["patch-throughput-"+user] = plot("Patches per second, 32 clients ("+user+")", throughput)
		plots["patch-latency-"+user] = plot("Median latency of a patch in ms, 1 client ("+user+")", latency)
	}
	var policies []bar
	for _, m := range r.Cells {
		if policyCount, ok := strings.CutPrefix(m.Operation, "patch with "); ok && part(m.cell) == "policies" {
			n, _, _ := strings.Cut(policyCount, " ")
			policies = append(policies, bar{n + ": " + m.Variant, r.of(m.cell, perSecond)})
		}
	}
	plots["policies"] = plot("Patches per second by the number of policies, 32 clients", policies)
	var sizes []bar
	for _, jobs := range r.numbers() {
		for _, server := range []string{native.name, direct.name} {
			sizes = append(sizes, bar{fmt.Sprintf("%d Jobs: %s", jobs, server), r.sizes(server, jobs, memory)})
		}
	}
	plots["memory"] = plot("Resident memory in MiB by the number of Jobs", sizes)
	for name, content := range plots {
		if content == "" {
			delete(plots, name)
		}
	}
	return plots
}

// plot draws horizontal bars, each with a line from the lowest to the highest figure. It returns
// nothing if nothing was measured.
func plot(title string, bars []bar) string {
	const width, left, right, row = 760, 260, 90, 26
	highest := 0.0
	for _, b := range bars {
		highest = math.Max(highest, b.value.High)
	}
	if highest == 0 {
		return ""
	}
	x := func(v float64) float64 { return left + v/highest*(width-left-right) }
	var s strings.Builder
	height := 40 + row*len(bars)
	fmt.Fprintf(&s, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="13">`+"\n", width, height)
	fmt.Fprintf(&s, `<rect width="%d" height="%d" fill="white"/><text x="10" y="20" font-weight="bold">%s</text>`+"\n", width, height, title)
	for i, b := range bars {
		y := 34 + row*i
		color := "#8a8f98"
		if strings.Contains(b.label, "Batchgate") {
			color = "#2f6fd0"
		}
		fmt.Fprintf(&s, `<text x="%d" y="%d" text-anchor="end">%s</text>`, left-8, y+14, b.label)
		fmt.Fprintf(&s, `<rect x="%d" y="%d" width="%.1f" height="18" fill="%s"/>`, left, y, x(b.value.Median)-left, color)
		fmt.Fprintf(&s, `<path d="M%.1f %dH%.1f" stroke="black"/>`, x(b.value.Low), y+9, x(b.value.High))
		fmt.Fprintf(&s, `<text x="%.1f" y="%d">%.4g</text>`+"\n", x(b.value.High)+6, y+14, b.value.Median)
	}
	s.WriteString("</svg>\n")
	return s.String()
}
