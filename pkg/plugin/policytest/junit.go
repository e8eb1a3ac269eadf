// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package policytest

import (
	"encoding/xml"
	"io"
)

// suites is the root of a JUnit report, of which CI systems read this part.
type suites struct {
	XMLName xml.Name `xml:"testsuites"`
	Suites  []suite  `xml:"testsuite"`
}

type suite struct {
	Name     string      `xml:"name,attr"`
	Tests    int         `xml:"tests,attr"`
	Failures int         `xml:"failures,attr"`
	Cases    []junitCase `xml:"testcase"`
}

type junitCase struct {
	Suite   string        `xml:"classname,attr"`
	Name    string        `xml:"name,attr"`
	Failure *junitFailure `xml:"failure,omitempty"`
}

type junitFailure struct {
	Message string `xml:"message,attr"`
}

// WriteJUnit writes a JUnit report with one suite for each file.
func WriteJUnit(w io.Writer, files []string, results map[string][]CaseResult) error {
	var report suites
	for _, file := range files {
		s := suite{Name: file, Tests: len(results[file])}
		for _, r := range results[file] {
			c := junitCase{Suite: file, Name: r.Name}
			if r.Failure != "" {
				s.Failures++
				c.Failure = &junitFailure{r.Failure}
			}
			s.Cases = append(s.Cases, c)
		}
		report.Suites = append(report.Suites, s)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	encoder := xml.NewEncoder(w)
	encoder.Indent("", "  ")
	if err := encoder.Encode(report); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
