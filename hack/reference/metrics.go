// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/component-base/metrics/legacyregistry"
)

// prefix is the prefix of Batchgate's own metrics.
const prefix = "batchgate_"

// metricsPage returns the page about the metrics that only Batchgate has.
func metricsPage() (string, error) {
	registered, err := registeredMetrics()
	if err != nil {
		return "", err
	}
	types, err := metricTypes("pkg")
	if err != nil {
		return "", err
	}
	var rows [][]string
	for _, m := range registered {
		kind, ok := types[strings.TrimPrefix(m.name, prefix)]
		if !ok {
			return "", fmt.Errorf("%s is registered, but no package of pkg creates it with a literal name", m.name)
		}
		labels := make([]string, len(m.labels))
		for i, label := range m.labels {
			labels[i] = code(label)
		}
		rows = append(rows, []string{code(m.name), kind, strings.Join(labels, ", "), m.stability, cell(m.help)})
	}
	return `# Metrics

This page lists the metrics that only Batchgate has. The server serves them at ` + "`/metrics`" + `, with the
[metrics of every Kubernetes API server](https://kubernetes.io/docs/reference/instrumentation/metrics/), for example
` + "`apiserver_request_duration_seconds`, `etcd_request_duration_seconds` and `process_resident_memory_bytes`" + `.

A metric with the stability ALPHA may change in any release. See
[the stability levels of Kubernetes](https://kubernetes.io/docs/concepts/cluster-administration/system-metrics/#metric-lifecycle).

` + table([]string{"metric", "type", "labels", "stability", "meaning"}, rows), nil
}

type metric struct {
	name, stability, help string
	labels                []string
}

// description is the form in which the client library prints the description of a metric.
var description = regexp.MustCompile(`^Desc\{fqName: ("(?:[^"\\]|\\.)*"), help: ("(?:[^"\\]|\\.)*"),.* variableLabels: \{(.*)\}\}$`)

// registeredMetrics returns Batchgate's own metrics in the registry that the server serves.
func registeredMetrics() ([]metric, error) {
	registry, ok := legacyregistry.Registerer().(prometheus.Collector)
	if !ok {
		return nil, errors.New("the registry does not describe its metrics")
	}
	descriptions := make(chan *prometheus.Desc)
	go func() {
		registry.Describe(descriptions)
		close(descriptions)
	}()
	var all []metric
	var errs []error
	for d := range descriptions {
		match := description.FindStringSubmatch(d.String())
		if match == nil {
			errs = append(errs, fmt.Errorf("unknown form of a description: %s", d))
			continue
		}
		name, err := strconv.Unquote(match[1])
		errs = append(errs, err)
		help, err := strconv.Unquote(match[2])
		errs = append(errs, err)
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		// component-base puts the stability before the help.
		stability, text, ok := strings.Cut(strings.TrimPrefix(help, "["), "] ")
		if !ok {
			errs = append(errs, fmt.Errorf("%s has no stability level", name))
		}
		m := metric{name: name, stability: stability, help: text}
		if match[3] != "" {
			m.labels = strings.Split(match[3], ",")
		}
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b metric) int { return strings.Compare(a.name, b.name) })
	return all, errors.Join(errs...)
}

// metricTypes returns the type of each metric that the Go files in a directory create, by its
// name without prefix. The registry does not have the types.
func metricTypes(directory string) (map[string]string, error) {
	types := map[string]string{}
	err := filepath.WalkDir(directory, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(node ast.Node) bool {
			if call, ok := node.(*ast.CallExpr); ok && len(call.Args) > 0 {
				if kind, name := metricType(call), metricName(call.Args[0]); kind != "" && name != "" {
					types[name] = kind
				}
			}
			return true
		})
		return nil
	})
	return types, err
}

// metricType returns the type of the metric that a call of metrics.NewCounterVec or a similar
// function creates; empty for other calls.
func metricType(call *ast.CallExpr) string {
	function, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	if pkg, ok := function.X.(*ast.Ident); !ok || pkg.Name != "metrics" {
		return ""
	}
	if function.Sel.Name == "NewDesc" {
		return "gauge" // all metrics that are computed on collection are gauges
	}
	name := strings.TrimPrefix(function.Sel.Name, "New")
	name = strings.TrimSuffix(strings.TrimPrefix(name, "Timing"), "Vec")
	switch name {
	case "Counter", "Gauge", "Histogram", "Summary":
		return strings.ToLower(name)
	}
	return ""
}

// metricName returns the literal Name in the options of a metric, or the argument of NewDesc,
// without the prefix; empty if there is none.
func metricName(options ast.Expr) string {
	if literal, ok := options.(*ast.BasicLit); ok {
		name, _ := strconv.Unquote(literal.Value)
		return strings.TrimPrefix(name, prefix)
	}
	name := ""
	ast.Inspect(options, func(node ast.Node) bool {
		pair, ok := node.(*ast.KeyValueExpr)
		if !ok {
			return true
		}
		key, isIdent := pair.Key.(*ast.Ident)
		value, isLiteral := pair.Value.(*ast.BasicLit)
		if isIdent && isLiteral && key.Name == "Name" {
			name, _ = strconv.Unquote(value.Value)
		}
		return true
	})
	return name
}
