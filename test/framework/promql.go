package framework

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
)

// PromQLRequest is samples, and what to ask about them; see hack/tools/promql/eval.go.
type PromQLRequest struct {
	Time      float64  `json:"time"`
	Scrapes   []Scrape `json:"scrapes,omitempty"`
	Series    []string `json:"series,omitempty"`
	Queries   []string `json:"queries,omitempty"`
	Manifests string   `json:"manifests,omitempty"`
}

// Scrape is what the metrics endpoint of a target has answered.
type Scrape struct {
	Labels map[string]string `json:"labels"`
	Time   float64           `json:"time"`
	Text   string            `json:"text"`
}

// PromQLResponse is what Prometheus' engine makes of a request.
type PromQLResponse struct {
	Queries []PromQLResult
	Alerts  []struct {
		Name string
		// Operands are what is compared with thresholds.
		Operands []PromQLResult
		Firing   []struct{ Labels, Annotations map[string]string }
	}
}

// PromQLResult is the answer to a query.
type PromQLResult struct {
	Expr    string
	Metrics []string
	Series  []PromQLSample
}

// PromQLSample is the value of a series.
type PromQLSample struct {
	Labels map[string]string
	Value  string // as in text, since there is NaN
}

// PromQL asks Prometheus' engine, which is built first where it is missing.
func PromQL(ctx context.Context, request PromQLRequest) (*PromQLResponse, error) {
	promql, err := BuildModule(ctx, "promql")
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
		return nil, fmt.Errorf("evaluating: %w: %s", err, stderr.String())
	}
	var response PromQLResponse
	return &response, json.Unmarshal(stdout.Bytes(), &response)
}
