// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package fieldpath

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Pattern is a path pattern. It matches a path and all paths below it. The step [*] matches
// any element of a list and any entry of a map, and ["prefix*"] any key with that prefix. The
// pattern * matches every path.
type Pattern struct {
	text  string
	steps []step // empty for *
}

func newPattern(steps []step) Pattern { return Pattern{join(steps), steps} }

// ParsePattern parses a path pattern for batch/v1 Jobs. It returns an error if the syntax is wrong, or
// if an update cannot change such a field. Most errors name the nearest existing field.
func ParsePattern(text string) (Pattern, error) {
	if text == "*" {
		return Pattern{}, nil
	}
	steps, err := parse(text)
	if err != nil {
		return Pattern{}, fmt.Errorf("%w; the nearest field is %s", err, nearestField(text))
	}
	if err := validateSteps(steps); err != nil {
		return Pattern{}, err
	}
	for i := range steps {
		if prefix, ok := steps[i].keyPrefix(); ok && prefix == `["` {
			steps[i] = step{kind: stepAny, text: "[*]"}
		}
	}
	p := newPattern(slices.Clone(steps)) // without spare capacity
	p.text = share(p.text, text)
	return p, nil
}

// String returns the canonical text form, which ParsePattern parses to an equal Pattern.
func (p Pattern) String() string {
	if len(p.steps) == 0 {
		return "*"
	}
	return p.text
}

// Path returns p as a path. A pattern matches it if, and only if, it matches every path that p matches.
func (p Pattern) Path() Path { return Path{p.steps} }

// Wider returns patterns that match more than p, each by one step: [*] instead of a list element, or a
// prefix up to the last slash instead of a key.
func (p Pattern) Wider() []Pattern {
	var wider []Pattern
	for i, s := range p.steps {
		switch s.kind {
		case stepElement:
			s = step{kind: stepAny, text: "[*]"}
		case stepKey:
			key, err := strconv.Unquote(s.text[1 : len(s.text)-1])
			slash := strings.LastIndexByte(key, '/')
			if err != nil || slash < 0 || strings.HasSuffix(key, "*") {
				continue
			}
			s.text = "[" + strconv.Quote(key[:slash+1]+"*") + "]"
		default:
			continue
		}
		steps := slices.Clone(p.steps)
		steps[i] = s
		wider = append(wider, newPattern(steps))
	}
	return wider
}

// IsBelow reports whether the pattern matches paths below a path that other matches, but not that
// path itself.
func (p Pattern) IsBelow(other Pattern) bool {
	if len(p.steps) <= len(other.steps) {
		return false
	}
	for i, o := range other.steps {
		if s := p.steps[i]; !s.matches(o) && !o.matches(s) {
			return false
		}
	}
	return true
}

// Matches reports whether the path, or a path above it, matches the pattern.
func (p Pattern) Matches(path Path) bool {
	if len(path.steps) < len(p.steps) {
		return false
	}
	for i, s := range p.steps {
		if !s.matches(path.steps[i]) {
			return false
		}
	}
	return true
}
