// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// messageLine matches the first line of each message that a test prints, not the logs of processes.
var messageLine = regexp.MustCompile(`(?m)^ +\w+_test\.go:\d+: .*$`)

const (
	maxMessages = 5   // of a failed test
	maxMessage  = 400 // characters
)

// event is one line of "go test -json"; see "go doc test2json".
type event struct {
	Action     string
	Package    string
	ImportPath string // instead of Package in the output of a build
	Test       string // empty for events of a package
	Output     string
}

// test identifies a test of a package, or with an empty name the package itself.
type test struct{ pkg, name string }

// results counts tests, subtests included.
type results struct {
	suite                   string
	began                   time.Time
	log                     io.Writer
	passed, failed, skipped int
	failures                bytes.Buffer
	// errors has the messages of failed tests without the rest of their output.
	errors bytes.Buffer
	// running has the output so far of tests and packages that have not ended.
	running map[test]*bytes.Buffer
	// failedIn counts failures by package.
	failedIn map[string]int
	// latest is the test that started last.
	latest string
}

func newResults(suite string, log io.Writer) *results {
	return &results{
		suite: suite, began: time.Now(), log: log,
		running: map[test]*bytes.Buffer{}, failedIn: map[string]int{},
	}
}

// add counts a line. It returns the name of the test or package if the line says that it failed.
func (r *results) add(line []byte) (string, bool) {
	var e event
	if err := json.Unmarshal(line, &e); err != nil || e.Action == "" {
		// Not an event: something that wrote to standard error.
		e = event{Action: "output", Output: string(line)}
	}
	t := test{cmp.Or(e.Package, e.ImportPath), e.Test}
	switch e.Action {
	case "run":
		r.latest = e.Test
		r.output(t)
	case "output", "build-output":
		_, _ = io.WriteString(r.log, e.Output)
		r.output(t).WriteString(e.Output)
	case "pass", "skip":
		if t.name != "" && e.Action == "pass" {
			r.passed++
		} else if t.name != "" {
			r.skipped++
		}
		delete(r.running, t)
	case "fail":
		if t.name == "" {
			return t.pkg, r.failPackage(t.pkg)
		}
		r.fail(t)
		return t.name, true
	}
	return "", false
}

func (r *results) output(t test) *bytes.Buffer {
	if r.running[t] == nil {
		r.running[t] = &bytes.Buffer{}
	}
	return r.running[t]
}

func (r *results) fail(t test) {
	r.failed++
	r.failedIn[t.pkg]++
	fmt.Fprintf(&r.failures, "=== %s %s %s\n", r.suite, t.pkg, t.name)
	r.failures.Write(r.output(t).Bytes())
	fmt.Fprintf(&r.errors, "%s %s\n", r.suite, cmp.Or(t.name, t.pkg))
	messages := messageLine.FindAllString(r.output(t).String(), -1)
	for _, message := range messages[max(0, len(messages)-maxMessages):] {
		fmt.Fprintf(&r.errors, "%.*s\n", maxMessage, message)
	}
	delete(r.running, t)
}

// failPackage counts the tests that had not ended when the package failed, for example by a
// panic or a timeout. A package that failed outside its tests, or that was not built, counts as
// one failure. It returns false if only tests failed that were counted before.
func (r *results) failPackage(pkg string) bool {
	before := r.failedIn[pkg]
	for _, t := range r.unfinished() {
		if t.pkg == pkg && t.name != "" {
			r.fail(t)
		}
	}
	if r.failedIn[pkg] == 0 {
		// A build reports its output under the import path, which may have a suffix.
		for _, t := range r.unfinished() {
			if t.name == "" && (t.pkg == "" || strings.HasPrefix(t.pkg, pkg+" ")) {
				r.output(test{pkg: pkg}).Write(r.output(t).Bytes())
			}
		}
		r.fail(test{pkg: pkg})
	}
	// Shows what the package printed after its tests.
	if output := r.running[test{pkg: pkg}]; output != nil {
		fmt.Fprintf(&r.failures, "=== %s %s\n", r.suite, pkg)
		r.failures.Write(output.Bytes())
		delete(r.running, test{pkg: pkg})
	}
	return r.failedIn[pkg] > before
}

// finish counts packages whose result never came as failed.
func (r *results) finish() {
	for _, t := range r.unfinished() {
		if t.name != "" {
			r.failPackage(t.pkg)
		}
	}
	if r.passed+r.failed+r.skipped == 0 {
		fmt.Fprintf(&r.failures, "=== %s ran no test\n", r.suite)
		for _, t := range r.unfinished() {
			r.failures.Write(r.running[t].Bytes())
		}
	}
}

func (r *results) unfinished() []test {
	return slices.SortedFunc(maps.Keys(r.running), func(a, b test) int {
		return cmp.Or(cmp.Compare(a.pkg, b.pkg), cmp.Compare(a.name, b.name))
	})
}

func (r *results) ok() bool { return r.failed == 0 && r.passed+r.skipped > 0 }

func (r *results) counts() string {
	return fmt.Sprintf("%d passed, %d failed, %d skipped  %4.0f s", r.passed, r.failed, r.skipped, time.Since(r.began).Seconds())
}

func (r *results) progress() string {
	return fmt.Sprintf("%-12s running %s  %s", r.suite, r.counts(), r.latest)
}

func (r *results) summary() string {
	status := "passed"
	if !r.ok() {
		status = "FAILED"
	}
	return fmt.Sprintf("%-12s %-7s %s", r.suite, status, r.counts())
}
