// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package fieldpolicy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
)

// This file parses paths and compares Jobs as JSON. It shares no code with the packages under
// test and does not depend on the Go types, so that tests can check results against it.

// tree is a JSON object.
type tree = map[string]any

// jsonTree returns a Job as clients see it. Numbers keep all digits.
func jsonTree(t testing.TB, job *batchv1.Job) tree {
	t.Helper()
	encoded, err := json.Marshal(job)
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.UseNumber()
	var result tree
	if err := decoder.Decode(&result); err != nil {
		t.Fatal(err)
	}
	return result
}

// treeStep is one step of a path: the name of a field, map key or set member, or the keys of a
// list element.
type treeStep struct {
	name string
	keys map[string]string // JSON values
}

func (s treeStep) String() string {
	if s.keys == nil {
		return s.name
	}
	return fmt.Sprint(s.keys)
}

// steps parses a path.
func steps(p string) ([]treeStep, error) {
	var result []treeStep
	rest := p
	for rest != "" {
		switch {
		case strings.HasPrefix(rest, `["`):
			quoted, err := strconv.QuotedPrefix(rest[1:])
			if err != nil || !strings.HasPrefix(rest[1+len(quoted):], "]") {
				return nil, fmt.Errorf("%s: no end of %s", p, rest)
			}
			name, _ := strconv.Unquote(quoted)
			result = append(result, treeStep{name: name})
			rest = rest[len(quoted)+2:]
		case rest[0] == '[':
			keys, length, err := elementKeys(rest)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p, err)
			}
			result = append(result, treeStep{keys: keys})
			rest = rest[length:]
		default:
			rest = strings.TrimPrefix(rest, ".")
			end := strings.IndexAny(rest, ".[")
			if end < 0 {
				end = len(rest)
			}
			if end == 0 {
				return nil, fmt.Errorf("%s: a field without a name", p)
			}
			result = append(result, treeStep{name: rest[:end]})
			rest = rest[end:]
		}
	}
	return result, nil
}

// elementKeys parses keys like [a="x",b=1] at the start of s and also returns their length.
func elementKeys(s string) (map[string]string, int, error) {
	keys := map[string]string{}
	i := 1
	for {
		name, value, ok := strings.Cut(s[i:], "=")
		if !ok || name == "" {
			return nil, 0, fmt.Errorf("no key in %s", s[i:])
		}
		if quoted, err := strconv.QuotedPrefix(value); err == nil {
			text, _ := strconv.Unquote(quoted)
			encoded, _ := json.Marshal(text)
			keys[name] = string(encoded)
			value = quoted
		} else if end := strings.IndexAny(value, ",]"); end > 0 {
			value = value[:end]
			keys[name] = value
		}
		i += len(name) + 1 + len(value)
		if i >= len(s) || s[i] != ',' && s[i] != ']' {
			return nil, 0, fmt.Errorf("no end of %s", s)
		}
		i++
		if s[i-1] == ']' {
			return keys, i, nil
		}
	}
}

// matches reports whether the step leads to the element of a list.
func (s treeStep) matches(element any) bool {
	if s.keys == nil {
		return element == s.name
	}
	object, ok := element.(tree)
	if !ok {
		return false
	}
	for name, want := range s.keys {
		value, there := object[name]
		encoded, _ := json.Marshal(value)
		if there && string(encoded) != want {
			return false
		}
		if !there && want != `""` && want != "0" { // JSON may omit an empty key
			return false
		}
	}
	return true
}

// get returns the value in node at the path, or nil.
func get(node any, path []treeStep) any {
	for _, s := range path {
		switch n := node.(type) {
		case tree:
			node = n[s.name]
		case []any:
			i := slices.IndexFunc(n, s.matches)
			if i < 0 {
				return nil
			}
			node = n[i]
		default:
			return nil
		}
	}
	return node
}

// without returns node without the value at the path.
func without(node any, path []treeStep) any {
	s, rest := path[0], path[1:]
	switch n := node.(type) {
	case tree:
		if child, ok := n[s.name]; ok && len(rest) > 0 {
			n[s.name] = without(child, rest)
		} else {
			delete(n, s.name)
		}
	case []any:
		i := slices.IndexFunc(n, s.matches)
		if i >= 0 && len(rest) > 0 {
			n[i] = without(n[i], rest)
		} else if i >= 0 {
			return slices.Delete(n, i, i+1)
		}
	}
	return node
}

// compact removes empty values from node, because null, [] and absence mean the same to the
// API. It returns nil if nothing is left.
func compact(node any) any {
	switch n := node.(type) {
	case tree:
		for name, child := range n {
			if child = compact(child); child == nil {
				delete(n, name)
			} else {
				n[name] = child
			}
		}
		if len(n) == 0 {
			return nil
		}
	case []any:
		for i := range n {
			n[i] = compact(n[i])
		}
		if len(n) == 0 {
			return nil
		}
	}
	return node
}

func TestSteps(t *testing.T) {
	for path, want := range map[string]string{
		`spec.parallelism`:                      "[spec parallelism]",
		`metadata.annotations["a.b/c[\"d\"]"].`: "",
		`metadata.annotations["a.b/c[\"d\"]"]`:  `[metadata annotations a.b/c["d"]]`,
		`p[containerPort=80,protocol="a]b"].x`:  `[p map[containerPort:80 protocol:"a]b"] x]`,
		`p[name=]`:                              "",
		`p["x`:                                  "",
	} {
		got, err := steps(path)
		if text := fmt.Sprint(got); err == nil && text != want || err != nil && want != "" {
			t.Errorf("steps(%s) = %s, %v; want %s", path, text, err, want)
		}
	}
}
