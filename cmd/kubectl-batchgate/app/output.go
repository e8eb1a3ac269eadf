package app

import (
	"encoding/json"
	"fmt"
	"io"

	"sigs.k8s.io/yaml"

	"github.com/batchgate/batchgate/pkg/takeover"
)

// report is what a command that does something prints for programs.
type report struct {
	// Error is what went wrong, nothing if all went well.
	Error string            `json:"error,omitempty"`
	Steps []takeover.Result `json:"steps"`
}

// run calls do, which reports what it does, and prints that: as it happens for people, at the
// end for programs.
func (s *settings) run(do func(report func(takeover.Result)) error) error {
	all := report{Steps: []takeover.Result{}}
	err := do(func(r takeover.Result) {
		if r.Inverse != "" {
			r.Inverse += s.given
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

func printResult(w io.Writer, r takeover.Result) {
	mark, text := "ok", r.Detail
	if r.Error != "" {
		mark, text = "FAILED", r.Error
	}
	fmt.Fprintf(w, "%-7s %-30s %s\n", mark, r.Name, text)
	if r.Inverse != "" {
		fmt.Fprintf(w, "%-7s %-30s to undo it: %s\n", "", "", r.Inverse)
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
	_, err = fmt.Fprintln(s.streams.Out, string(content))
	return err
}
