// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
)

// PromQLRequest contains samples, and queries or alerts to evaluate on them; see
// hack/tools/promql/eval.go.
type PromQLRequest struct {
	Time      float64  `json:"time"`
	Start     float64  `json:"start,omitempty"`
	Step      float64  `json:"step,omitempty"`
	Scrapes   []Scrape `json:"scrapes,omitempty"`
	Series    []string `json:"series,omitempty"`
	Queries   []string `json:"queries,omitempty"`
	Manifests string   `json:"manifests,omitempty"`
}

// Scrape is a response of the metrics endpoint of a target.
type Scrape struct {
	Labels map[string]string `json:"labels"`
	Time   float64           `json:"time"`
	Text   string            `json:"text"`
}

// PromQLResponse is the result of a PromQLRequest.
type PromQLResponse struct {
	Queries []PromQLResult
	Alerts  []struct {
		Name string
		// Operands are the values that the alert compares with thresholds.
		Operands []PromQLResult
		Firing   []struct{ Labels, Annotations map[string]string }
	}
}

// PromQLResult is the result of a query.
type PromQLResult struct {
	Expr    string
	Metrics []string
	Series  []PromQLSample
}

// PromQLSample is the value of a series.
type PromQLSample struct {
	Labels map[string]string
	Value  string // text, because JSON has no NaN
	// Points are set if the request has a Step.
	Points []PromQLPoint
}

// PromQLPoint is the value of a series at a time in seconds.
type PromQLPoint struct {
	Time  float64
	Value string
}

// PromQL evaluates a request with Prometheus' engine, which it builds if it is missing.
func PromQL(ctx context.Context, request PromQLRequest) (*PromQLResponse, error) {
	promql, err := BuildTool(ctx, "promql")
	if err != nil {
		return nil, err
	}
	input, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, promql, "eval")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(input), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("running promql eval: %w: %s", err, stderr.String())
	}
	var response PromQLResponse
	return &response, json.Unmarshal(stdout.Bytes(), &response)
}
