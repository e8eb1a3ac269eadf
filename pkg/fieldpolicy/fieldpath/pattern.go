// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package fieldpath

import "fmt"

// Pattern is a path pattern. It matches a path and all paths below it. The step [*] matches
// any element of a list and any entry of a map, and ["prefix*"] any key with that prefix. The
// pattern * matches every path.
type Pattern struct {
	steps []step // empty for *
}

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
	return Pattern{steps}, nil
}

// String returns the canonical text form, which ParsePattern parses to an equal Pattern.
func (p Pattern) String() string {
	if len(p.steps) == 0 {
		return "*"
	}
	return join(p.steps)
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
