// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package fieldpath

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Path is the path of a field of a Job, of a list element, or of a map entry. The zero Path
// is the Job itself.
type Path struct {
	steps []step
}

// serverOwned lists the metadata that never counts as a change: the server keeps its own
// value (creationTimestamp, generation, ...), or the registry checks the value in the request
// before it calls the update strategy (name, uid, resourceVersion).
var serverOwned = []string{
	"creationTimestamp",
	"deletionGracePeriodSeconds",
	"deletionTimestamp",
	"generation",
	"managedFields",
	"name",
	"namespace",
	"resourceVersion",
	"selfLink",
	"uid",
}

// Parse parses the text form of a path. It does not check whether a Job has such a field.
func Parse(text string) (Path, error) {
	steps, err := parse(text)
	return Path{steps}, err
}

// Field returns the path of a field of the struct at p.
func (p Path) Field(name string) Path {
	return p.append(step{kind: stepField, text: name})
}

// Key returns the path of an entry of the map, or a member of the set, at p.
func (p Path) Key(key string) Path {
	return p.append(step{kind: stepKey, text: "[" + strconv.Quote(key) + "]"})
}

// Element returns the path of the element of the list at p that has these values of the
// list's keys. A value is a string or an integer.
func (p Path) Element(keys []string, values []any) Path {
	pairs := make([]string, len(keys))
	for i, key := range keys {
		if s, ok := values[i].(string); ok {
			pairs[i] = key + "=" + strconv.Quote(s)
			continue
		}
		pairs[i] = fmt.Sprintf("%s=%v", key, values[i])
	}
	return p.append(step{kind: stepElement, text: "[" + strings.Join(pairs, ",") + "]"})
}

// ListElement returns the path of the element e of the associative list at p. The list is a set if it
// has no keys.
func (p Path) ListElement(e reflect.Value, keys []string) Path {
	if len(keys) == 0 {
		return p.Key(e.String())
	}
	values := make([]any, len(keys))
	for i, name := range keys {
		values[i] = keyValue(fieldNamed(e, name))
	}
	return p.Element(keys, values)
}

// keyValue returns the value of a key field, with named string types as plain strings.
func keyValue(v reflect.Value) any {
	if v.Kind() == reflect.String {
		return v.String()
	}
	return v.Interface()
}

// fieldNamed returns the field of a struct with this JSON name, also from an inlined struct, or the
// zero Value.
func fieldNamed(v reflect.Value, name string) reflect.Value {
	return v.FieldByNameFunc(func(field string) bool {
		f, _ := v.Type().FieldByName(field)
		found, _ := DescribeField(f)
		return found == name
	})
}

func (p Path) append(s step) Path {
	return Path{append(slices.Clip(p.steps), s)}
}

// String returns the text form.
func (p Path) String() string { return join(p.steps) }

// Last returns the text form of the last step.
func (p Path) Last() string { return p.steps[len(p.steps)-1].text }

// IsServerOwned reports whether the path is, or lies below, metadata that the server owns.
func (p Path) IsServerOwned() bool {
	return len(p.steps) > 1 && p.steps[0].text == "metadata" && slices.Contains(serverOwned, p.steps[1].text)
}

// Name returns the text form of the TopLevel of the path. A Job has about 100 such names, none of
// them with keys, which makes them safe as values of a metric label.
func (p Path) Name() string { return p.TopLevel().String() }

// TopLevel returns the field of the Job, or of its Pod template, that the path belongs to, for
// example spec.backoffLimit, metadata.annotations or spec.template.spec.containers.
func (p Path) TopLevel() Path {
	depth := 2
	if len(p.steps) > 1 && p.steps[0].text == "spec" && p.steps[1].text == "template" {
		depth = 4
	}
	end := 0
	for end < min(depth, len(p.steps)) && p.steps[end].kind == stepField {
		end++
	}
	return Path{p.steps[:end:end]}
}
