// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package upstream

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"time"
)

// result is the result of one spec.
type result struct {
	State   string
	RunTime time.Duration
	// conformance is set if the spec is a conformance test.
	conformance bool
	messages    string // of all failures
	output      string
	denials     string // if the spec timed out: messages of denied updates by the run's user
}

// timedOut is the state of a spec that was running at the timeout.
const timedOut = "timedout"

func (r result) passed() bool { return r.State == "passed" }

// specReport has the fields of a spec in ginkgo's JSON report that the test needs.
type specReport struct {
	ContainerHierarchyTexts    []string
	LeafNodeType, LeafNodeText string
	State                      string
	RunTime                    time.Duration
	Failure                    failure
	AdditionalFailures         []struct{ Failure failure }
	CapturedGinkgoWriterOutput string
}

type failure struct{ Message string }

// nameTags match the tags in the names of specs, like [Conformance].
var nameTags = regexp.MustCompile(`\[[^]]*\] ?`)

// readReport returns the results of specs by their names without tags. Failed steps outside of specs have
// results too.
func readReport(path string) (map[string]result, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var suites []struct{ SpecReports []specReport }
	if err := json.Unmarshal(content, &suites); err != nil {
		return nil, err
	}
	results := map[string]result{}
	for _, suite := range suites {
		for _, spec := range suite.SpecReports {
			isSpec := spec.LeafNodeType == "It"
			if spec.State == "skipped" && spec.Failure.Message == "" || !isSpec && spec.State == "passed" {
				continue
			}
			name := strings.Join(append(spec.ContainerHierarchyTexts, spec.LeafNodeText), " ")
			r := result{
				State:       spec.State,
				RunTime:     spec.RunTime,
				conformance: strings.Contains(name, "[Conformance]"),
				messages:    spec.Failure.Message,
				output:      spec.CapturedGinkgoWriterOutput,
			}
			for _, additional := range spec.AdditionalFailures {
				r.messages += "\n" + additional.Failure.Message
			}
			if !isSpec {
				name = spec.LeafNodeType + name
			}
			results[strings.TrimSpace(nameTags.ReplaceAllString(name, ""))] = r
		}
	}
	return results, nil
}
