// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package fieldpath

import (
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/agnivade/levenshtein"
)

// validateSteps returns nil if the steps of a pattern lead to a field that an update can
// change.
func validateSteps(steps []step) error {
	path := Path{steps}
	switch {
	case steps[0].text == "status":
		return fmt.Errorf("%s cannot be granted: it is updated through the status subresource, which the gate leaves to RBAC", path)
	case path.IsServerOwned():
		return fmt.Errorf("%s cannot be granted: the server keeps or checks its value, whatever an update sends", path)
	}
	at := root
	for i, s := range steps {
		if s.kind == stepElement && strings.Contains(s.text, "*") {
			return fmt.Errorf("%s: * is not supported in the key of an element; use %s[*] for all elements", path, join(steps[:i]))
		}
		if s.kind == stepKey && strings.Contains(strings.TrimSuffix(s.text, keyPrefixEnd), "*") {
			return fmt.Errorf("%s: * stands for the rest of a key, and may only be its last character", path)
		}
		next, ok := at.child(s)
		if ok && (i > 0 || s.text == "metadata" || s.text == "spec") {
			at = next
			continue
		}
		if i > 0 && at.typ.Kind() == reflect.Slice && !at.list.Associative {
			return fmt.Errorf("%s cannot be granted: an update replaces the list as a whole; the nearest field is %s", path, join(steps[:i]))
		}
		return fmt.Errorf("a batch/v1 Job has no field %s; the nearest is %s", path, nearestField(path.String()))
	}
	return nil
}

// AllPatterns returns a pattern for every field that a policy can grant, with [*] for every
// list element and map entry.
func AllPatterns() []string { return slices.Clone(allPatterns()) }

var allPatterns = sync.OnceValue(func() []string {
	var patterns []string
	var walk func(p Path, at node)
	walk = func(p Path, at node) {
		if p.IsServerOwned() {
			return
		}
		patterns = append(patterns, p.String())
		for _, f := range at.fields() {
			walk(p.Field(f.name), f.node)
		}
		anyElement := step{kind: stepAny, text: "[*]"}
		if next, ok := at.child(anyElement); ok {
			walk(p.append(anyElement), next)
		}
	}
	for _, f := range root.fields() {
		if f.name == "metadata" || f.name == "spec" {
			walk(Path{}.Field(f.name), f.node)
		}
	}
	return patterns
})

var brackets = regexp.MustCompile(`\[[^]]*\]`)

// maxSuggestionInput is the length in bytes to which nearestField cuts its input, since the
// time to compare grows with it. No pattern is longer.
const maxSuggestionInput = 128

// nearestField returns the pattern of AllPatterns with the smallest edit distance to text. It
// prefers patterns with the same last name, which people usually remember correctly.
func nearestField(text string) string {
	wanted := brackets.ReplaceAllString(text, "[*]")
	candidates := slices.DeleteFunc(AllPatterns(), func(name string) bool { return lastName(name) != lastName(wanted) })
	if len(candidates) == 0 {
		candidates = allPatterns()
	}
	wanted = wanted[:min(len(wanted), maxSuggestionInput)]
	nearest, shortest := "", math.MaxInt
	for _, candidate := range candidates {
		if distance := levenshtein.ComputeDistance(candidate, wanted); distance < shortest {
			nearest, shortest = candidate, distance
		}
	}
	return nearest
}

func lastName(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }
