// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// measured has the samples of a measurement.
type measured struct {
	measurement
	// PolicyCount is the number of JobUpdatePolicies and bindings, or 0 for the usual ones.
	PolicyCount int `json:",omitempty"`
	// Arms are the names of the arms.
	Arms []string
	// Rounds has a sample for each arm.
	Rounds [][]sample
	// EndedWatches is the number of watches that servers have ended, of all arms.
	EndedWatches int `json:",omitempty"`
}

// measure loads the arms in slices, one after the other in random order, again and again. So a change
// of the machine's speed hits all arms alike, and the ratio of two slices of the same round is free of
// it. measure stops when the ratios are precise enough, or after the maximum number of rounds.
func (b *bench) measure(ctx context.Context, m measurement, arms []*arm) (*measured, error) {
	result := &measured{measurement: m}
	for _, a := range arms {
		if m.Watches == 0 {
			break
		}
		stop, err := watchAll(ctx, a, m.User, m.Watches)
		if err != nil {
			return nil, err
		}
		defer func() { result.EndedWatches += stop() }()
	}
	for _, a := range arms {
		result.Arms = append(result.Arms, a.name)
	}
	rounds := b.maxRounds
	if slices.Contains(goalMeasurements, m) {
		rounds = b.goalRounds
	}
	// The first round opens connections and fills caches.
	for round := -1; round < rounds; round++ {
		// Check rarely, because each check could stop at an interval that is narrow by chance.
		if round > 0 && round%b.minRounds == 0 && result.isPrecise(b.precision) {
			break
		}
		samples := make([]sample, len(arms))
		for _, i := range rand.Perm(len(arms)) {
			s, err := b.slice(ctx, arms[i], m)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", arms[i].name, err)
			}
			samples[i] = s
			// An arm that creates more Jobs must not get longer lists.
			if err := arms[i].plane.deleteCreated(ctx, arms[i].namespace); err != nil {
				return nil, err
			}
			if m.Watches > 0 {
				pause(ctx, 10*b.settle) // until the watches have all events
			}
			pause(ctx, b.settle)
		}
		if round >= 0 {
			result.Rounds = append(result.Rounds, samples)
		}
	}
	return result, ctx.Err()
}

// figure is a figure of a sample.
type figure struct {
	of func(sample) float64
	// perRequest figures are compared by their totals, because some slices have most of it: garbage is
	// collected in few of them.
	perRequest bool
}

var (
	perSecond = figure{of: func(s sample) float64 { return s.PerSecond }}
	p50       = figure{of: func(s sample) float64 { return s.P50 }}

	apiServers = cpuOf("kube-apiserver", "batchgate", "webhook")
	batchgate  = cpuOf("batchgate")
)

// cpuOf is the CPU time per request of some processes.
func cpuOf(processes ...string) figure {
	return figure{perRequest: true, of: func(s sample) float64 {
		sum := 0.0
		for _, name := range processes {
			sum += s.CPU[name]
		}
		return sum
	}}
}

// of returns a figure of an arm. It is zero if the arm was not measured.
func (m *measured) of(arm string, f figure) spread {
	i := slices.Index(m.Arms, arm)
	if i < 0 {
		return newSpread(nil)
	}
	var figures []float64
	for _, samples := range m.Rounds {
		figures = append(figures, f.of(samples[i]))
	}
	s := newSpread(figures)
	if f.perRequest {
		s.Value = m.mean(i, f, -1)
	}
	return s
}

// mean returns the mean of a figure per request over all requests of an arm, without the round skip.
func (m *measured) mean(arm int, f figure, skip int) float64 {
	total, requests := 0.0, 0.0
	for round, samples := range m.Rounds {
		if s := samples[arm]; round != skip {
			total += f.of(s) * s.PerSecond
			requests += s.PerSecond
		}
	}
	return total / max(requests, 1)
}

// ratioOfMeans divides the means of two arms. Its precision is estimated by leaving out one round
// after the other (the jackknife).
func (m *measured) ratioOfMeans(arm int, f figure, base int, g figure) (value, precision float64) {
	without := func(skip int) float64 { return m.mean(arm, f, skip) / m.mean(base, g, skip) }
	value = without(-1)
	n := float64(len(m.Rounds))
	if value == 0 || math.IsNaN(value) || math.IsInf(value, 0) || n < minSample {
		return value, math.Inf(1)
	}
	mean, squares := 0.0, 0.0
	for round := range m.Rounds {
		mean += without(round) / n
	}
	for round := range m.Rounds {
		squares += math.Pow(without(round)-mean, 2)
	}
	return value, 1.96 * math.Sqrt((n-1)/n*squares) / value
}

// base returns the arm that ratios of an arm compare with: the first one, or the other binary with a
// direct connection.
func (m *measured) base(arm string) string {
	if (arm == direct || arm == directBase) && slices.Contains(m.Arms, directBase) {
		return directBase
	}
	return m.Arms[0]
}

// ratio divides the figures of two arms, round by round. For a figure per request, the value is the ratio
// of the means.
func (m *measured) ratio(arm string, f figure, base string, g figure) spread {
	i, j := slices.Index(m.Arms, arm), slices.Index(m.Arms, base)
	if i < 0 || j < 0 {
		return newSpread(nil)
	}
	var figures []float64
	for _, samples := range m.Rounds {
		if of := g.of(samples[j]); of > 0 {
			figures = append(figures, f.of(samples[i])/of)
		}
	}
	s := newSpread(figures)
	if f.perRequest && len(figures) > 0 {
		s.Value, s.Precision = m.ratioOfMeans(i, f, j, g)
	}
	return s
}

// isPrecise reports whether the ratios of Batchgate's throughput and CPU time, or of its latency at a fixed
// rate, are known to within the given share.
func (m *measured) isPrecise(share float64) bool {
	figures := []figure{perSecond, apiServers}
	if m.Rate > 0 {
		figures = []figure{p50}
	}
	for _, arm := range m.Arms {
		for _, f := range figures {
			if base := m.base(arm); (arm == aggregated || arm == direct) && m.ratio(arm, f, base, f).Precision > share {
				return false
			}
		}
	}
	return true
}

// minSample is the number of figures without which there is no precision.
const minSample = 6

// spread is the median or, for figures per request, the mean, and the 10th and 90th percentile of some
// figures. Precision is half of the 95% confidence interval of the value, as a share of it.
type spread struct{ Value, Low, High, Precision float64 }

func newSpread(figures []float64) spread {
	n := len(figures)
	if n == 0 {
		return spread{Precision: math.Inf(1)}
	}
	slices.Sort(figures)
	at := func(p float64) float64 { return figures[int(math.Round(p*float64(n-1)))] }
	s := spread{Value: (figures[(n-1)/2] + figures[n/2]) / 2, Low: at(0.1), High: at(0.9), Precision: math.Inf(1)}
	// The ranks between which the median of the distribution is, by the binomial distribution's
	// normal approximation.
	margin := 1.96 * math.Sqrt(float64(n)) / 2
	low := int(math.Floor(float64(n)/2 - margin))
	if high := n - 1 - low; n >= minSample && low >= 0 && s.Value > 0 {
		s.Precision = (figures[high] - figures[low]) / 2 / s.Value
	}
	return s
}

// scaled converts the spread to another unit.
func (s spread) scaled(factor float64) spread {
	s.Value, s.Low, s.High = s.Value*factor, s.Low*factor, s.High*factor
	return s
}
