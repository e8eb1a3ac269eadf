// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"
	"math/rand/v2"
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
	r := &results{Machine: "2 cores (X), linux", Versions: []string{"a 1", "b 2"}, Seconds: 1.2, Jobs: 2048}
	for _, row := range docsRows {
		m := &measured{measurement: row.measurement}
		for i, arm := range docsArms {
			if row.base() != native && i == 0 {
				continue
			}
			m.Arms = append(m.Arms, arm)
		}
		for round := range 3 {
			var samples []sample
			for i := range m.Arms {
				samples = append(samples, sample{PerSecond: float64(100*(i+1) + round), P50: float64(2 * (i + 1)), CPU: map[string]float64{"kube-apiserver": 1, "etcd": 0.5}})
			}
			m.Rounds = append(m.Rounds, samples)
		}
		r.Requests = append(r.Requests, m)
	}
	r.Policies = []*measured{{measurement: measurement{Operation: "patch"}, PolicyCount: 1000, Arms: []string{aggregated}, Rounds: [][]sample{{{PerSecond: 70}}}}}
	for _, n := range []int{0, 1000} {
		for _, server := range []string{native, direct} {
			r.Sizes = append(r.Sizes, size{Server: server, Jobs: n, Ready: 1, List: 2, Resident: 100 + float64(n)/10})
		}
	}
	r.KubectlGets = []kubectlGet{{native, 1000, 1.1}, {aggregated, 1000, 1.2}}
	r.Takeovers = []takeover{{1000, 10, 100}}
	for _, qps := range []float64{defaultQPS, raisedQPS} {
		r.Completions = append(r.Completions, completion{Arm: native, QPS: qps, Jobs: 10, Seconds: 10}, completion{Arm: aggregated, QPS: qps, Jobs: 10, Seconds: 12})
	}
	for _, name := range []string{allowedUpdate, grantedUpdate, deniedUpdate, manyPolicies} {
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
		"| p50 of a patch in ms, 1 client | 1 | 2.00 (2.00-2.00) | 3.00 (3.00-3.00) | 4.00 (4.00-4.00) | 5.00 (5.00-5.00) |",
		"| p50 of a patch in ms, 1 client | 2 | 4 | 6 | 8 | 10 |",
		"| denied patches per second, 16 clients |  | 1 | 1.99 (1.98-2.00) | 2.98 (2.96-3.00) | 3.97 (3.94-4.00) |",
		"| patch | 70 |  |  |",
		"| 200 | 10 | 12 | 1.20 (1.20-1.20) |",
		"| 1,000 | 200 MiB | 200 MiB | 1 s | 1 s | 2 s | 2 s |",
		"Each 1,000 Jobs add 100 MiB to the memory of Batchgate.",
		"`kubectl get jobs` of 1,000 Jobs takes 1.2 s, with kube-apiserver alone 1.1 s.",
		"| denied | 2.10 (2.10-2.10) | 2 |",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not contain %s:\n%s", want, page)
		}
	}

	r.Requests = r.Requests[3:]
	if _, err := r.page(); err == nil || !strings.Contains(err.Error(), "was not measured") {
		t.Errorf("error %v, want one about a figure that was not measured", err)
	}
}

// The machine gets slower from round to round, and the second arm needs twice the time in each.
func TestMeasured_RatioIsFreeOfDrift(t *testing.T) {
	m := &measured{measurement: measurement{Operation: "get"}, Arms: []string{native, aggregated}}
	for round := range 12 {
		speed := 1000 / float64(round+1)
		m.Rounds = append(m.Rounds, []sample{
			{PerSecond: speed, CPU: map[string]float64{"batchgate": 1 / speed}},
			{PerSecond: speed / 2, CPU: map[string]float64{"batchgate": 3 / speed}},
		})
	}
	for name, tc := range map[string]struct {
		f    figure
		want float64
	}{"throughput": {perSecond, 0.5}, "CPU": {apiServers, 3}} {
		got := m.ratio(aggregated, tc.f, native, tc.f)
		if math.Abs(got.Value-tc.want) > 1e-9 || got.Precision > 1e-9 {
			t.Errorf("the ratio of %s is %+v, want exactly %g", name, got, tc.want)
		}
	}
	if !m.isPrecise(0.03) {
		t.Error("equal ratios are not precise")
	}
	m.Rounds = m.Rounds[:3]
	if m.isPrecise(0.03) {
		t.Error("three rounds are precise")
	}
}

// One slice of ten has all of the garbage collection. The median would not show it.
func TestMeasured_CPUIsComparedByTotals(t *testing.T) {
	m := &measured{Arms: []string{"a", "b"}}
	for round := range 10 {
		cpu := 1.0
		if round == 3 {
			cpu = 11
		}
		m.Rounds = append(m.Rounds, []sample{{PerSecond: 100, CPU: map[string]float64{"batchgate": 1}}, {PerSecond: 100, CPU: map[string]float64{"batchgate": cpu}}})
	}
	got := m.ratio("b", batchgate, "a", batchgate)
	if math.Abs(got.Value-2) > 1e-9 || got.Precision < 0.5 {
		t.Errorf("the ratio is %+v, want 2 with a precision of about 1", got)
	}
}

// 95% of the confidence intervals contain the median of the distribution.
func TestSpread_Precision(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const runs = 2000
	inside, widths := 0, 0.0
	for range runs {
		figures := make([]float64, 20)
		for i := range figures {
			figures[i] = 10 + random.NormFloat64()
		}
		s := newSpread(figures)
		if math.Abs(s.Value-10) <= s.Precision*s.Value {
			inside++
		}
		widths += s.Precision * s.Value / runs
	}
	if share := float64(inside) / runs; share < 0.93 {
		t.Errorf("the median is within the precision in %g of the runs, want 0.95", share)
	}
	// 1.96 times the standard error of the median of 20 normal figures, 1.25/sqrt(20).
	if widths < 0.5 || widths > 0.63 {
		t.Errorf("half of the interval is %g on average, want about 0.55", widths)
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
