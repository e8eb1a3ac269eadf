// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// results is the content of results.json.
type results struct {
	// Command is the command line of the run.
	Command, Machine string
	Versions         []string
	// Seconds is the duration of a slice.
	Seconds float64
	Jobs    int
	// Requests and Policies have the results of the parts "requests" and "policies".
	Requests, Policies []*measured
	Completions        []completion
	Sizes              []size
	KubectlGets        []kubectlGet
	Takeovers          []takeover
	// Gate is the output of the Go benchmarks of the gate.
	Gate string
}

// find returns a measurement, or one without samples if it was not taken.
func (r *results) find(m measurement) *measured {
	i := slices.IndexFunc(r.Requests, func(got *measured) bool { return got.measurement == m })
	if i < 0 {
		return &measured{measurement: m}
	}
	return r.Requests[i]
}

// keepOtherParts copies results of an earlier run for the parts that this run does not measure. It also
// copies all results of requests: the part replaces the ones that it measures.
func (r *results) keepOtherParts(directory string, p parts) error {
	earlier, err := readResults(directory)
	if errors.Is(err, fs.ErrNotExist) || len(p) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	if earlier.Machine != r.Machine || !slices.Equal(earlier.Versions, r.Versions) || earlier.Seconds != r.Seconds || earlier.Jobs != r.Jobs {
		return fmt.Errorf("%s has results from a different machine or version, or with other flags: use another -out", directory)
	}
	r.Requests = earlier.Requests
	if !p.has("policies") {
		r.Policies = earlier.Policies
	}
	if !p.has("completion") {
		r.Completions = earlier.Completions
	}
	if !p.has("scale") {
		r.Sizes, r.KubectlGets, r.Takeovers = earlier.Sizes, earlier.KubectlGets, earlier.Takeovers
	}
	if !p.has("gate") {
		r.Gate = earlier.Gate
	}
	r.Command = earlier.Command + "`, then `" + r.Command
	return nil
}

// readResults reads the results.json in a directory.
func readResults(directory string) (*results, error) {
	content, err := os.ReadFile(filepath.Join(directory, "results.json"))
	if err != nil {
		return nil, err
	}
	r := &results{}
	return r, json.Unmarshal(content, r)
}

// write writes results.json, results.md and gate.txt to the directory.
func (r *results) write(directory string) error {
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return err
	}
	content, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	files := map[string]string{"results.json": string(content) + "\n", "results.md": r.markdown()}
	if r.Gate != "" {
		files["gate.txt"] = r.Gate
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	progress("wrote %s", directory)
	return nil
}

// count returns a number with the right form of a noun.
func count(n int, singular, plural string) string {
	if n == 1 {
		return "1 " + singular
	}
	return fmt.Sprint(number(n), " ", plural)
}
