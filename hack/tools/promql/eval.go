// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// request holds samples and the queries and alerts to evaluate on them.
type request struct {
	// Time is the evaluation time in seconds since 1970.
	Time float64 `json:"time"`
	// Start and Step are in seconds. If Step is set, queries have points from Start to Time instead of a
	// value at Time.
	Start float64 `json:"start"`
	Step  float64 `json:"step"`
	// Scrapes are the responses of targets, in order of time.
	Scrapes []scrape `json:"scrapes"`
	// Series are further series in the notation of promtool's tests, such as 'up{a="b"} 1x10'. They
	// have one value per minute; the last value is at Time.
	Series []string `json:"series"`
	// Queries are in PromQL.
	Queries []string `json:"queries"`
	// Manifests are YAML documents. The alerts of all PrometheusRules in them are evaluated.
	Manifests string `json:"manifests"`
}

// scrape is the response of a target in the text format.
type scrape struct {
	Labels map[string]string `json:"labels"`
	Time   float64           `json:"time"`
	Text   string            `json:"text"`
}

func (s scrape) at() time.Time { return seconds(s.Time) }

// response holds the results in the order of the request.
type response struct {
	Queries []result `json:"queries"`
	Alerts  []alert  `json:"alerts"`
}

// result is the result of a query.
type result struct {
	Expr string `json:"expr"`
	// Metrics are the names of all metrics in Expr.
	Metrics []string `json:"metrics"`
	Series  []sample `json:"series"`
}

type sample struct {
	Labels map[string]string `json:"labels"`
	Value  string            `json:"value,omitempty"` // JSON has no NaN
	Points []point           `json:"points,omitempty"`
}

// point is the value of a series at a time.
type point struct {
	Time  float64 `json:"time"`
	Value string  `json:"value"`
}

var (
	promqlParser = parser.NewParser(parser.Options{})
	engine       = promql.NewEngine(promql.EngineOpts{
		MaxSamples: 1 << 24, Timeout: time.Minute, LookbackDelta: 5 * time.Minute,
		EnableAtModifier: true, EnableNegativeOffset: true, Parser: promqlParser,
	})
)

// eval fails if an expression is not valid PromQL or cannot be evaluated.
func (r request) eval() (*response, error) {
	samples := store{}
	for _, s := range r.Scrapes {
		if err := samples.addScrape(s); err != nil {
			return nil, err
		}
	}
	now := seconds(r.Time)
	for _, line := range r.Series {
		l, values, err := promqlParser.ParseSeriesDesc(line)
		if err != nil {
			return nil, fmt.Errorf("series %q: %w", line, err)
		}
		for i, v := range values {
			if v.Omitted {
				continue
			}
			if err := samples.add(l, now.Add(-time.Duration(len(values)-1-i)*time.Minute), v.Value); err != nil {
				return nil, err
			}
		}
	}
	resp := &response{}
	for _, query := range r.Queries {
		one, err := samples.query(query, now)
		if r.Step > 0 && err == nil {
			one.Series, err = samples.points(query, seconds(r.Start), now, time.Duration(r.Step*float64(time.Second)))
		}
		if err != nil {
			return nil, err
		}
		resp.Queries = append(resp.Queries, one)
	}
	alerts, err := parseManifests([]byte(r.Manifests))
	if err != nil {
		return nil, err
	}
	for _, rule := range alerts {
		one, err := samples.alert(rule, now)
		if err != nil {
			return nil, fmt.Errorf("alert %s: %w", rule.Alert, err)
		}
		resp.Alerts = append(resp.Alerts, one)
	}
	return resp, nil
}

// query evaluates an expression that has a vector or a scalar as its value.
func (s store) query(text string, at time.Time) (result, error) {
	expr, err := promqlParser.ParseExpr(text)
	if err != nil {
		return result{}, fmt.Errorf("%s: %w", text, err)
	}
	evaluated := result{Expr: text}
	matrix, err := s.over(text, at, at, time.Minute)
	if err != nil {
		return result{}, err
	}
	for _, one := range matrix {
		evaluated.Series = append(evaluated.Series, sample{Labels: one.Metric.Map(), Value: formatValue(one.Floats[0].F)})
	}
	names := map[string]bool{}
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		if selector, ok := node.(*parser.VectorSelector); ok {
			names[selector.Name] = true
		}
		return nil
	})
	evaluated.Metrics = slices.Sorted(maps.Keys(names))
	return evaluated, nil
}

// points evaluates a query in each step. It returns all series that have a value at some time.
func (s store) points(expr string, from, to time.Time, step time.Duration) ([]sample, error) {
	matrix, err := s.over(expr, from, to, step)
	if err != nil {
		return nil, err
	}
	var all []sample
	for _, one := range matrix {
		with := sample{Labels: one.Metric.Map()}
		for _, p := range one.Floats {
			with.Points = append(with.Points, point{float64(p.T) / 1000, formatValue(p.F)})
		}
		all = append(all, with)
	}
	return all, nil
}

func formatValue(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// over evaluates an expression in each step.
func (s store) over(expr string, from, to time.Time, step time.Duration) (promql.Matrix, error) {
	ctx := context.Background()
	query, err := engine.NewRangeQuery(ctx, s, nil, expr, from, to, step)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", expr, err)
	}
	defer query.Close()
	matrix, err := query.Exec(ctx).Matrix()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", expr, err)
	}
	// query.Close invalidates the matrix.
	copied := make(promql.Matrix, len(matrix))
	for i, one := range matrix {
		copied[i] = promql.Series{Metric: one.Metric.Copy(), Floats: slices.Clone(one.Floats)}
	}
	return copied, nil
}

func seconds(s float64) time.Time {
	whole, fraction := math.Modf(s)
	return time.Unix(int64(whole), int64(fraction*1e9))
}
