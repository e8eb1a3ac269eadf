// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
)

func TestSignificant(t *testing.T) {
	for figure, want := range map[float64]string{
		0: "0", 2: "2", 3.98: "4.0", 3.14: "3.1", 9.96: "10", 35.8: "36", 99.6: "100", 747.3: "750", 76751: "77,000",
		0.964: "0.96", 0.999: "1.0", 0.0523: "0.052",
	} {
		if got := significant(figure); got != want {
			t.Errorf("significant(%g) = %s, want %s", figure, got, want)
		}
	}
}

func TestMemoryText(t *testing.T) {
	for mebibytes, want := range map[float64]string{112.3: "110 MiB", 998: "1,000 MiB", 1320: "1.3 GiB"} {
		if got := memoryText(mebibytes); got != want {
			t.Errorf("memoryText(%g) = %s, want %s", mebibytes, got, want)
		}
	}
}

// measuredResults returns results with all figures that the docs quote.
func measuredResults() *results {
	r := &results{Machine: "2 cores (X), linux", Versions: []string{"a 1", "b 2"}, Rounds: 2, Seconds: 3, Jobs: 2048}
	add := func(c cell, perSecond float64) {
		for round := range r.Rounds {
			r.add(c, sample{PerSecond: perSecond + float64(round), P50: 2, CPU: map[string]float64{"kube-apiserver": 1, "etcd": 0.5}})
		}
	}
	for i, v := range variants {
		for _, row := range docsRows {
			if v.gated || !row.gatedOnly() {
				add(row.cell(v), float64(100*(i+1)))
			}
		}
	}
	for _, n := range full.policies {
		for _, all := range []bool{false, true} {
			add(cell{granted(n, all).name, withPolicies("patch", n), 32, admin}, 50)
			add(cell{granted(n, all).name, withPolicies("granted patch", n), 32, admin}, 40)
		}
		for _, where := range []string{"other namespaces", "this namespace"} {
			add(cell{"native, bindings for " + where, withPolicies("patch", n), 32, admin}, 30)
		}
	}
	for _, n := range []int{0, 1000} {
		for range r.Rounds {
			for _, v := range []*variant{native, direct} {
				r.Sizes = append(r.Sizes, size{Server: v.name, Jobs: n, Ready: 1, List: 2, Resident: 100 + float64(n)/10})
			}
		}
	}
	for _, name := range []string{allowedUpdate, grantedUpdate, deniedUpdate} {
		r.Gate += "Benchmark" + name + "-2 \t 100\t 2100 ns/op\t 64 B/op\t 2 allocs/op\n"
	}
	return r
}

func TestResults_Page(t *testing.T) {
	r := measuredResults()
	page, err := r.page()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| machine | 2 cores (X), linux |",
		"| patches per second, 1 client | 100 (100-100) |",
		"| denied patches per second, 32 clients |  | 400 (400-400) |",
		"| 1,000 | 200 MiB | 200 MiB | 1 s | 1 s | 2 s | 2 s |",
		"Each 1,000 Jobs add 100 MiB to the memory of Batchgate.",
		"| denied | 2.1 (2.1-2.1) | 2 |",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not contain %s:\n%s", want, page)
		}
	}

	r.Cells = r.Cells[1:]
	if _, err := r.page(); err == nil || !strings.Contains(err.Error(), "was not measured") {
		t.Errorf("error %v, want one about a figure that was not measured", err)
	}
}

func TestResults_ReplaceGoals(t *testing.T) {
	page, err := measuredResults().replaceGoals("before\n" + goalsBegin + "old\n" + goalsEnd + "after\n")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(page, "before\n"+goalsBegin+"| figure |") || !strings.HasSuffix(page, goalsEnd+"after\n") || strings.Contains(page, "old") {
		t.Errorf("page %s", page)
	}
	if _, err := measuredResults().replaceGoals("without the lines"); err == nil {
		t.Error("no error for a page without the lines around the goals")
	}
}
