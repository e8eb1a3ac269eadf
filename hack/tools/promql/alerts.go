// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/template"
)

// alert is the result of evaluating an alerting rule.
type alert struct {
	Name string `json:"name"`
	// Operands are the expressions that the rule compares with thresholds.
	Operands []result `json:"operands"`
	Firing   []firing `json:"firing"`
}

// firing is an alert as Prometheus sends it.
type firing struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// alert evaluates a rule like Prometheus, once per minute. The alert fires for each series that
// existed during the whole "for" duration of the rule.
func (s store) alert(rule rulefmt.Rule, now time.Time) (alert, error) {
	evaluated := alert{Name: rule.Alert}
	expr, err := promqlParser.ParseExpr(rule.Expr)
	if err != nil {
		return evaluated, err
	}
	for _, operand := range operands(expr) {
		one, err := s.query(operand.String(), now)
		if err != nil {
			return evaluated, err
		}
		evaluated.Operands = append(evaluated.Operands, one)
	}
	pending := time.Duration(rule.For)
	matrix, err := s.over(rule.Expr, now.Add(-pending), now, time.Minute)
	if err != nil {
		return evaluated, err
	}
	for _, one := range matrix {
		if len(one.Floats) < 1+int(pending/time.Minute) {
			continue
		}
		last := promql.Sample{T: now.UnixMilli(), F: one.Floats[len(one.Floats)-1].F, Metric: one.Metric}
		fired := firing{Labels: map[string]string{}, Annotations: map[string]string{}}
		one.Metric.DropReserved(func(name string) bool { return name == model.MetricNameLabel }).Range(func(l labels.Label) {
			fired.Labels[l.Name] = l.Value
		})
		for name, text := range rule.Labels {
			if fired.Labels[name], err = expand(text, last); err != nil {
				return evaluated, err
			}
		}
		for name, text := range rule.Annotations {
			if fired.Annotations[name], err = expand(text, last); err != nil {
				return evaluated, err
			}
		}
		evaluated.Firing = append(evaluated.Firing, fired)
	}
	return evaluated, nil
}

// expand executes a template of a rule for a sample.
func expand(text string, s promql.Sample) (string, error) {
	none := func(context.Context, string, time.Time) (promql.Vector, error) { return nil, nil }
	data := template.AlertTemplateData(s.Metric.Map(), nil, "", s)
	definitions := "{{$labels := .Labels}}{{$value := .Value}}"
	return template.NewTemplateExpander(context.Background(), definitions+text, "alert", data, model.Time(s.T), none, nil, nil).Expand()
}

// operands returns the left sides of all comparisons in an expression.
func operands(expr parser.Expr) []parser.Expr {
	switch e := expr.(type) {
	case *parser.ParenExpr:
		return operands(e.Expr)
	case *parser.BinaryExpr:
		switch {
		case e.Op.IsSetOperator():
			return append(operands(e.LHS), operands(e.RHS)...)
		case e.Op.IsComparisonOperator():
			return []parser.Expr{e.LHS}
		}
	}
	return []parser.Expr{expr}
}
