// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/fieldpolicy/fieldpath"
)

// maxChanges is the maximum number of different changes in a Log. It bounds the memory.
const maxChanges = 200_000

// maxLine is the maximum length of a line in bytes.
const maxLine = 16 << 20

// maxProblems is the maximum number of problems in a Log.
const maxProblems = 20

// change identifies what a user changed in a namespace.
type change struct{ user, namespace, field string }

// evidence sums up the events of a change.
type evidence struct {
	events      int
	first, last time.Time
	// labels are the labels that all Jobs have in common, or nil if they are unknown. Several changes share
	// the map, so it must not be modified.
	labels map[string]string
}

// Log is the summary of an audit log.
type Log struct {
	// Lines counts all lines, Events the events of the namespace with a decision of the gate, and Used the
	// events whose changes the suggestions grant.
	Lines, Events, Used int
	// Rejected counts the updates that were granted with a warning and then failed, for example because
	// the field is immutable. No suggestion is for them.
	Rejected int
	// Problems says what the suggestions do not grant.
	Problems []string

	namespace string
	changes   map[change]*evidence
	labels    map[string]map[string]string // by their text
	// groups has the groups of each user.
	groups map[string][]string
	more   int // problems that are not listed
}

// NewLog returns an empty Log. It only reads the events of a namespace, or of all if it is "".
func NewLog(namespace string) *Log {
	return &Log{namespace: namespace, changes: map[change]*evidence{}, labels: map[string]map[string]string{}, groups: map[string][]string{}}
}

// Read adds the events of an audit log, with one event in each line. It skips lines that are not events.
// The log may be compressed with gzip. onLines is called after every 100,000 lines.
func (l *Log) Read(r io.Reader, onLines func(lines int)) error {
	buffered := bufio.NewReaderSize(r, 1<<20)
	if magic, _ := buffered.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		unzipped, err := gzip.NewReader(buffered)
		if err != nil {
			return err
		}
		buffered = bufio.NewReaderSize(unzipped, 1<<20)
	}
	lines := bufio.NewScanner(buffered)
	lines.Buffer(make([]byte, 1<<20), maxLine)
	for lines.Scan() {
		l.Lines++
		if l.Lines%100_000 == 0 {
			onLines(l.Lines)
		}
		if err := l.addLine(lines.Bytes()); err != nil {
			return fmt.Errorf("line %d: %w", l.Lines, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("after line %d: %w", l.Lines, err)
	}
	return nil
}

// decisionKey is part of each event with a decision. Most lines of a log have none, and need not be decoded.
var decisionKey = []byte(`"` + policy.AuditDecision + `"`)

func (l *Log) addLine(line []byte) error {
	if !bytes.Contains(line, decisionKey) {
		return nil
	}
	// A container runtime or a log collector may have written a prefix.
	start := bytes.IndexByte(line, '{')
	var e event
	if err := json.Unmarshal(line[max(start, 0):], &e); err != nil || e.Annotations[policy.AuditDecision] == "" {
		l.addProblem("a line with a decision is not an audit event in JSON: %.80q", line)
		return nil
	}
	if l.namespace != "" && e.ObjectRef.Namespace != l.namespace {
		return nil
	}
	l.Events++
	paths, more := e.paths()
	if more != "" {
		l.addProblem("an update of %q changes %s fields than the event lists", e.effectiveUser().Username, more)
	}
	switch {
	case len(paths) == 0 && more != "":
		return nil
	case len(paths) == 0:
		if e.Annotations[policy.AuditDecision] == "deny" {
			l.addProblem("an update of %q was denied without a path", e.effectiveUser().Username)
		}
		return nil
	case e.Annotations[policy.AuditDecision] == "warn" && e.ResponseStatus.Code >= 400:
		l.Rejected++
		return nil
	}
	l.Used++
	return l.addChanges(&e, paths)
}

func (l *Log) addChanges(e *event, paths []string) error {
	user := e.effectiveUser()
	l.groups[user.Username] = user.Groups
	labels := l.labelsOf(e)
	for _, path := range paths {
		key := change{user.Username, e.ObjectRef.Namespace, path}
		seen, ok := l.changes[key]
		if !ok {
			if err := checkPath(path); err != nil {
				l.addProblem("no policy can grant this change: %v", err)
				continue
			}
			if len(l.changes) == maxChanges {
				return fmt.Errorf("the log has more than %d different changes; read less of it, for example one namespace", maxChanges)
			}
			seen = &evidence{first: e.RequestReceivedTimestamp, labels: labels}
			l.changes[key] = seen
		}
		seen.add(evidence{1, e.RequestReceivedTimestamp, e.RequestReceivedTimestamp, labels})
	}
	return nil
}

// maxLabels is the maximum number of different sets of labels that the Log remembers.
const maxLabels = 10_000

// labelsOf returns the labels of an event. Events with the same labels share the map.
func (l *Log) labelsOf(e *event) map[string]string {
	text := e.Annotations[policy.AuditJobLabels]
	if labels, ok := l.labels[text]; ok {
		return labels
	}
	if len(l.labels) >= maxLabels {
		clear(l.labels)
	}
	l.labels[text] = e.labels()
	return l.labels[text]
}

// checkPath returns an error if no policy can grant a path and nothing else.
func checkPath(path string) error {
	// A user can choose any key in an update that is denied.
	if strings.Contains(path, "*") {
		return fmt.Errorf("%.200q: * in a policy stands for any key", path)
	}
	_, err := fieldpath.ParsePattern(path)
	return err
}

func (l *Log) addProblem(format string, args ...any) {
	problem := fmt.Sprintf(format, args...)
	switch {
	case slices.Contains(l.Problems, problem):
	case len(l.Problems) < maxProblems:
		l.Problems = append(l.Problems, problem)
	default:
		l.more++
	}
}

// MoreProblems returns the number of problems that are not listed.
func (l *Log) MoreProblems() int { return l.more }

// add adds the events of other.
func (e *evidence) add(other evidence) {
	e.events += other.events
	if other.first.Before(e.first) {
		e.first = other.first
	}
	if other.last.After(e.last) {
		e.last = other.last
	}
	e.labels = commonLabels(e.labels, other.labels)
}

// commonLabels returns the labels that both maps have with the same value, or nil if one of them is nil.
func commonLabels(a, b map[string]string) map[string]string {
	if a == nil || b == nil {
		return nil
	}
	if maps.Equal(a, b) {
		return a
	}
	common := map[string]string{}
	for name, value := range a {
		if other, ok := b[name]; ok && other == value {
			common[name] = value
		}
	}
	return common
}
