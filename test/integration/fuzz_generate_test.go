// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// dice makes random choices from fuzzer bytes. When the bytes run out, it always makes the first
// choice.
type dice []byte

// roll returns a number from 0 to n-1.
func (d *dice) roll(n int) int {
	number := 0
	for size := 1; size < n; size <<= 8 {
		var b byte
		if len(*d) > 0 {
			b, *d = (*d)[0], (*d)[1:]
		}
		number = number<<8 | int(b)
	}
	return number % n
}

func pick[T any](d *dice, from []T) T { return from[d.roll(len(from))] }

// change sets a field to a value, or removes it if the value is nil.
type change struct {
	path  []string
	value json.RawMessage
}

// allLeaves returns all fields of a Job with a valid value each.
var allLeaves = sync.OnceValue(func() []leaf {
	leaves := appendLeaves(nil, leaf{"metadata"}, reflect.TypeFor[metav1.ObjectMeta]())
	leaves = appendLeaves(leaves, leaf{"spec"}, reflect.TypeFor[batchv1.JobSpec]())
	return appendLeaves(leaves, leaf{"status"}, reflect.TypeFor[batchv1.JobStatus]())
})

// validChanges are changes that are allowed for some users and states of a Job.
var validChanges = []change{
	{[]string{"spec", "parallelism"}, json.RawMessage(`4`)},
	{[]string{"spec", "completions"}, json.RawMessage(`4`)},
	{[]string{"spec", "completions"}, json.RawMessage(`6`)},
	{[]string{"spec", "completions"}, nil},
	{[]string{"metadata", "labels", "a"}, json.RawMessage(`"b"`)},
	{[]string{"metadata", "labels", "team"}, nil},
	{[]string{"metadata", "labels"}, json.RawMessage(`{}`)},
	{[]string{"spec", "selector", "matchLabels", "job-name"}, json.RawMessage(`"plain"`)},
	{[]string{"spec", "selector", "matchLabels", "tier"}, json.RawMessage(`"one"`)},
	{[]string{"metadata", "resourceVersion"}, json.RawMessage(`"` + latestPlaceholder + `"`)},
	{[]string{"metadata", "annotations", "example.com/note"}, json.RawMessage(`"tuned"`)},
	{[]string{"spec", "suspend"}, json.RawMessage(`true`)},
	{[]string{"spec", "template", "spec", "containers", "0", "image"}, json.RawMessage(`"tuned"`)},
	{[]string{"metadata", "finalizers"}, nil},
	{[]string{"metadata", "ownerReferences"}, nil},
	{[]string{"status", "active"}, json.RawMessage(`2`)},
	{[]string{"status", "ready"}, json.RawMessage(`1`)},
	{[]string{"status", "startTime"}, json.RawMessage(`"2026-01-02T03:04:05Z"`)},
	{[]string{"status", "conditions"}, json.RawMessage(`[{"type":"Suspended","status":"True"}]`)},
}

// arbitraryValues are values for any field, most of them invalid there.
var arbitraryValues = []json.RawMessage{
	nil, json.RawMessage(`null`), json.RawMessage(`true`), json.RawMessage(`0`), json.RawMessage(`-1`), json.RawMessage(`7`), json.RawMessage(`2147483647`),
	json.RawMessage(`2147483648`), json.RawMessage(`18446744073709551616`), json.RawMessage(`1.5`), json.RawMessage(`1e3`), json.RawMessage(`1e999`), json.RawMessage(`-0`),
	json.RawMessage(`""`), json.RawMessage(`"x"`), json.RawMessage(`"0"`), json.RawMessage(`" "`), json.RawMessage(`"` + latestPlaceholder + `"`), json.RawMessage(`"\u0000"`), json.RawMessage(`"\ud800"`),
	json.RawMessage("\"\xff\""), json.RawMessage(`"2026-01-02T03:04:05Z"`), json.RawMessage(`"64Mi"`), json.RawMessage(`"65536Ki"`), json.RawMessage(`"` + strings.Repeat("x", 300) + `"`),
	json.RawMessage(`{}`), json.RawMessage(`[]`), json.RawMessage(`[null]`), json.RawMessage(`[{}]`), json.RawMessage(`[[]]`), json.RawMessage(`[{"name":"main"},{"name":"main"}]`),
	json.RawMessage(`["a","a"]`), json.RawMessage(`{"":""}`), json.RawMessage(`{"a":"b","a":"c"}`), json.RawMessage(`{"$patch":"delete"}`), json.RawMessage(`{"$patch":"replace"}`),
	json.RawMessage(`[{"$patch":"delete","name":"main"}]`), json.RawMessage(`{"matchExpressions":[{"key":"a","operator":"Near"}]}`),
	json.RawMessage(strings.Repeat(`[`, 200) + strings.Repeat(`]`, 200)),
}

// generateAttack converts random bytes to an attack.
func (v *victim) generateAttack(t testing.TB, d dice) attack {
	t.Helper()
	a := attack{job: d.roll(len(v.jobs)), user: d.roll(len(v.users))}
	if d.roll(4) == 3 {
		a.subresource = "status"
	}
	update := pick(&d, updateTypes)
	a.request.method, a.request.contentType = update.method, update.contentType
	if update.name == "apply" {
		a.query = pick(&d, []string{"fieldManager=" + applier, "fieldManager=other"}) + pick(&d, []string{"&force=true", ""})
	}
	if d.roll(4) == 3 {
		a.query += "&" + pick(&d, queries)
	}
	shown := v.jobs[a.job].shown
	var changes []change
	for range 1 + d.roll(5) {
		changes = append(changes, generateChange(&d, v.jobs[a.job].tree))
	}
	a.request.body = corruptBody(&d, generateBody(t, &d, update, changes, shown))
	return a
}

func generateChange(d *dice, job map[string]any) change {
	var c change
	switch d.roll(4) {
	case 0:
		c = pick(d, validChanges)
	case 1:
		l := pick(d, allLeaves())
		c = change{path: slices.Clone(l.path()), value: l.value()}
	default:
		c.path = generatePath(d, job)
		c.value = pick(d, arbitraryValues)
	}
	if d.roll(8) == 7 {
		c.value = pick(d, arbitraryValues)
	}
	return c
}

// generatePath returns a random path to an existing field of the Job.
func generatePath(d *dice, job map[string]any) []string {
	var at any = job
	var path []string
	for {
		var names []string
		switch node := at.(type) {
		case map[string]any:
			names = slices.Sorted(maps.Keys(node))
		case []any:
			for i := range node {
				names = append(names, strconv.Itoa(i))
			}
		}
		if len(names) == 0 || len(path) > 0 && d.roll(6) == 5 {
			return path
		}
		name := pick(d, names)
		path = append(path, name)
		switch node := at.(type) {
		case map[string]any:
			at = node[name]
		case []any:
			i, _ := strconv.Atoi(name)
			at = node[i]
		}
	}
}

// put makes the change in the JSON value at and returns the result.
func (c change) put(at any) any {
	if len(c.path) == 0 {
		if c.value == nil {
			return json.RawMessage(`null`)
		}
		return c.value
	}
	name, rest := c.path[0], change{c.path[1:], c.value}
	list, isList := at.([]any)
	if i, err := strconv.Atoi(name); err == nil && (isList || at == nil) && i <= len(list) {
		if i == len(list) {
			list = append(list, nil)
		}
		list[i] = rest.put(list[i])
		return list
	}
	object, ok := at.(map[string]any)
	if !ok {
		object = map[string]any{}
	}
	if len(rest.path) == 0 && c.value == nil {
		delete(object, name)
		return object
	}
	object[name] = rest.put(object[name])
	return object
}

// pointer returns the path as a JSON pointer.
func (c change) pointer() string {
	var b strings.Builder
	for _, name := range c.path {
		b.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name))
	}
	return b.String()
}

// operation returns the change as a JSON Patch operation, sometimes varied. other is the source of
// copy and move operations.
func (c change) operation(d *dice, other change) map[string]any {
	op := map[string]any{"op": "add", "path": c.pointer(), "value": c.value}
	if c.value == nil {
		op["op"] = "remove"
		delete(op, "value")
	}
	switch d.roll(8) {
	case 5:
		op["op"] = pick(d, []string{"replace", "test", "remove"})
	case 6:
		op["op"], op["from"] = pick(d, []string{"copy", "move"}), other.pointer()
	case 7:
		op["path"] = fmt.Sprint(op["path"]) + pick(d, []string{"/-", "/0", "/-1", "/~", "/99999999999"})
	}
	return op
}
