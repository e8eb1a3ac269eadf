package upstream

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"time"
)

// result is how one spec has ended.
type result struct {
	State string
	// RunTime is how long it took.
	RunTime time.Duration
	// conformance is set if upstream counts the spec as one of conformance.
	conformance bool
	// messages are all of its failures.
	messages string
	output   string
}

func (r result) passed() bool { return r.State == "passed" }

// specReport is the part of a spec in ginkgo's JSON report that is of use here.
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

// tags are what upstream puts in brackets into the names of specs.
var tags = regexp.MustCompile(`\[[^]]*\] ?`)

// readReport returns the specs that have run, by their names without tags. What went wrong
// outside of them is under the name of that step.
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
			results[strings.TrimSpace(tags.ReplaceAllString(name, ""))] = r
		}
	}
	return results, nil
}
