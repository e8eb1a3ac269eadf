// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Command promql evaluates rules and queries without a Prometheus server. It uses the parser, the
// engine and the exposition format of Prometheus on samples in memory. It is a separate module, so
// that nothing else depends on Prometheus.
//
//	kubectl kustomize DIRECTORY | promql check   # validates ServiceMonitors and PrometheusRules
//	promql eval <request.json >response.json     # see request and response in eval.go
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "promql:", err)
		os.Exit(1)
	}
}

func run(args []string, in io.Reader, out io.Writer) error {
	input, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	switch {
	case len(args) == 1 && args[0] == "check":
		rules, err := parseManifests(input)
		if err == nil && len(rules) == 0 {
			err = errors.New("the manifests on standard input contain no alert")
		}
		return err
	case len(args) == 1 && args[0] == "eval":
		var r request
		if err := json.Unmarshal(input, &r); err != nil {
			return fmt.Errorf("reading the request: %w", err)
		}
		resp, err := r.eval()
		if err != nil {
			return err
		}
		return json.NewEncoder(out).Encode(resp)
	}
	return errors.New("usage: promql check|eval <INPUT")
}
