// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"encoding/json"
	"regexp"
	"strings"
)

// Dashboard is the part of artifacts/components/monitoring/dashboard.json that this repository uses.
type Dashboard struct {
	Title      string
	Templating struct {
		List []struct{ Name, Label, Query string }
	}
	Panels []Panel
}

// Panel is a panel of a Dashboard. A panel of the type "row" is the heading of those below it.
type Panel struct {
	Type, Title string
	Datasource  struct{ UID string }
	// GridPos is the position in a grid with 24 columns.
	GridPos     struct{ X, Y, W, H float64 }
	FieldConfig struct {
		Defaults struct {
			Unit       string
			Thresholds struct {
				Steps []struct {
					Color string
					Value float64
				}
			}
		}
	}
	Targets []struct{ Expr, LegendFormat string }
}

// ReadDashboard reads the dashboard of the work tree.
func ReadDashboard() (*Dashboard, error) {
	content, err := readFile("artifacts", "components", "monitoring", "dashboard.json")
	if err != nil {
		return nil, err
	}
	dashboard := &Dashboard{}
	return dashboard, json.Unmarshal(content, dashboard)
}

// Queries returns the queries of a panel for all replicas.
func (p Panel) Queries(rateInterval string) []string {
	variables := strings.NewReplacer("$instance", ".+", "$__rate_interval", rateInterval)
	var queries []string
	for _, target := range p.Targets {
		queries = append(queries, variables.Replace(target.Expr))
	}
	return queries
}

// labelValues matches a query for the values of a variable.
var labelValues = regexp.MustCompile(`^label_values\((.*), instance\)$`)

// VariableQueries returns the queries for the values of the variable instance.
func (d *Dashboard) VariableQueries() []string {
	var queries []string
	for _, variable := range d.Templating.List {
		if match := labelValues.FindStringSubmatch(variable.Query); match != nil {
			queries = append(queries, match[1])
		}
	}
	return queries
}
