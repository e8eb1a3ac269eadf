// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/perf/benchfmt"
)

// Names of the Go benchmarks that the docs quote.
const (
	allowedUpdate = "Gate/update=allowed/job=ordinary"
	grantedUpdate = "Gate/update=granted/job=ordinary"
	deniedUpdate  = "Gate/update=denied/job=ordinary"
	manyPolicies  = "Evaluate/update=granted/others=different/policies=1000"
)

// gate runs the Go benchmarks of the gate, without a control plane.
func (b *bench) gate(ctx context.Context, r *results) error {
	progress("running the Go benchmarks of the gate")
	command := exec.CommandContext(ctx, "go", "test", "./pkg/registry/batch/job", "./pkg/fieldpolicy", "-run=^$", "-bench=.", "-benchmem",
		fmt.Sprint("-count=", b.gateRounds), fmt.Sprint("-benchtime=", b.gateTime))
	command.Stderr = os.Stderr
	output, err := command.Output()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", command, err, output)
	}
	r.Gate = string(output)
	return nil
}

// benchmark returns the figures of a Go benchmark in a unit: sec/op, B/op or allocs/op.
func (r *results) benchmark(name, unit string) spread {
	var figures []float64
	for lines := benchfmt.NewReader(strings.NewReader(r.Gate), ""); lines.Scan(); {
		line, ok := lines.Result().(*benchfmt.Result)
		if !ok || !bytes.Equal(withoutProcs(line.Name), []byte(name)) {
			continue
		}
		if value, ok := line.Value(unit); ok {
			figures = append(figures, value)
		}
	}
	return newSpread(figures)
}

// withoutProcs removes the suffix of a benchmark name that is the number of CPUs.
func withoutProcs(name benchfmt.Name) []byte {
	_, parts := name.Parts()
	if last := len(parts) - 1; last >= 0 && parts[last][0] == '-' {
		return bytes.TrimSuffix(name.Full(), parts[last])
	}
	return name.Full()
}
