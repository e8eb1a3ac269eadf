// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/batchgate/batchgate/pkg/plugin/steps"
)

// summary is the output of an operation for programs.
type summary struct {
	// Error is empty if the operation succeeded.
	Error string         `json:"error,omitempty"`
	Steps []steps.Result `json:"steps"`
}

// report runs an operation and prints its results: each step as it ends, or a summary at the end
// with --output.
func (s *settings) report(run func(steps.Reporter) error) error {
	all := summary{Steps: []steps.Result{}}
	err := run(func(r steps.Result) {
		if r.Undo != "" {
			r.Undo += s.undoFlags
		}
		all.Steps = append(all.Steps, r)
		if s.output == "" {
			printResult(s.streams.Out, r)
		}
	})
	if err != nil {
		all.Error = err.Error()
	}
	if s.output == "" {
		return err
	}
	if printErr := s.print(all); printErr != nil && err == nil {
		return printErr
	}
	return err
}

func printResult(w io.Writer, r steps.Result) {
	mark, text := "ok", r.Detail
	if r.Error != "" {
		mark, text = "FAILED", r.Error
	}
	fmt.Fprintf(w, "%-7s %-30s %s\n", mark, r.Name, text)
	if r.Undo != "" {
		fmt.Fprintf(w, "%-7s %-30s to undo it: %s\n", "", "", r.Undo)
	}
}

// print prints a value as JSON or YAML.
func (s *settings) print(value any) error {
	content, err := json.MarshalIndent(value, "", "  ")
	if err == nil && s.output == "yaml" {
		content, err = yaml.JSONToYAML(content)
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.streams.Out, strings.TrimSuffix(string(content), "\n"))
	return err
}
