// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// excludedFields are updatable or owned by the server. Other tests cover them.
var excludedFields = []string{
	"metadata.creationTimestamp", "metadata.deletionGracePeriodSeconds", "metadata.deletionTimestamp",
	"metadata.generation", "metadata.labels", "metadata.managedFields", "metadata.name", "metadata.namespace",
	"metadata.resourceVersion", "metadata.selfLink", "metadata.uid",
	"spec.completions", "spec.parallelism", "spec.selector",
}

// fieldAliases are two names of one field. Upstream's conversion sets both, so the gate denies
// both.
var fieldAliases = map[string]string{
	"spec.template.spec.serviceAccount":     "spec.template.spec.serviceAccountName",
	"spec.template.spec.serviceAccountName": "spec.template.spec.serviceAccount",
}

// The test changes every field of the Job API types, down to the fields of each volume source. So
// it also covers fields that a new Kubernetes version adds.
func TestEveryGatedFieldDeniedByPath(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	original := shared.admin.apply(t, namespace, newJob(t))
	key := jobKey(namespace, "pi")
	before := shared.read(t, key)

	var all []leaf
	all = appendLeaves(all, leaf{"metadata"}, reflect.TypeFor[metav1.ObjectMeta]())
	all = appendLeaves(all, leaf{"spec"}, reflect.TypeFor[batchv1.JobSpec]())
	if len(all) < 900 {
		t.Fatalf("found only %d fields", len(all))
	}
	for _, field := range all {
		name := field.name()
		if isWithin(name, excludedFields) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var job any
			if err := json.Unmarshal(original, &job); err != nil {
				t.Fatal(err)
			}
			body := mergeBody(t, nil, original, encode(t, field.set(job, field.value())))
			resp := shared.admin.patch(t, jobPath(namespace, "pi"), mergePatch, string(body))
			if resp.code != http.StatusUnprocessableEntity {
				t.Fatalf("%s got status %d: %.300s", body, resp.code, resp.body)
			}
			status := resp.status(t)
			for i, cause := range status.Details.Causes {
				message := "Forbidden: may not be updated"
				if i == len(status.Details.Causes)-1 {
					message = "Forbidden: " + deniedMessage
				}
				denied := stripElementKeys(cause.Field)
				if !isWithin(name, []string{denied}) && fieldAliases[name] != denied || cause.Message != message {
					t.Errorf("%s was denied for %s: %s", body, cause.Field, cause.Message)
				}
			}
			shared.read(t, key).expectUnchanged(t, before)
		})
	}
}

// leaf is the path to a field without subfields, followed by a JSON value for it. The parts of
// the path are JSON names, "0" for the first list element, and mapKey for a map key.
type leaf []string

const mapKey = "a-key"

// appendLeaves appends the leaves of typ, which is the type at the path at.
func appendLeaves(found []leaf, at leaf, typ reflect.Type) []leaf {
	below := func(parts ...string) leaf { return append(at[:len(at):len(at)], parts...) }
	switch typ {
	case reflect.TypeFor[resource.Quantity]():
		return append(found, below(`"7"`))
	case reflect.TypeFor[metav1.Time]():
		return append(found, below(`"2001-02-03T04:05:06Z"`))
	case reflect.TypeFor[metav1.FieldsV1]():
		return append(found, below(`{}`))
	case reflect.TypeFor[intstr.IntOrString](), reflect.TypeFor[[]byte]():
		return append(found, below(`"Nw=="`))
	}
	switch typ.Kind() {
	case reflect.Pointer:
		return appendLeaves(found, at, typ.Elem())
	case reflect.Slice:
		return appendLeaves(found, below("0"), typ.Elem())
	case reflect.Map:
		return appendLeaves(found, below(mapKey), typ.Elem())
	case reflect.Bool:
		return append(found, below(`true`))
	case reflect.String:
		return append(found, below(`"changed"`))
	case reflect.Struct:
		before := len(found)
		for i := range typ.NumField() {
			name, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ",")
			if name == "" { // inlined
				found = appendLeaves(found, at, typ.Field(i).Type)
				continue
			}
			found = appendLeaves(found, below(name), typ.Field(i).Type)
		}
		if len(found) == before { // an empty struct is a value in itself
			found = append(found, below(`{}`))
		}
		return found
	default:
		return append(found, below(`77`))
	}
}

func (l leaf) path() leaf { return l[:len(l)-1] }

func (l leaf) value() json.RawMessage { return json.RawMessage(l[len(l)-1]) }

// name returns the path with dots, without list indexes and map keys.
func (l leaf) name() string {
	var names []string
	for _, part := range l.path() {
		if part != "0" && part != mapKey {
			names = append(names, part)
		}
	}
	return strings.Join(names, ".")
}

// set sets the leaf in the JSON value at to value and returns the result.
func (l leaf) set(at any, value json.RawMessage) any {
	if len(l) == 1 {
		return value
	}
	rest := l[1:]
	if l[0] == "0" {
		list, _ := at.([]any)
		if len(list) == 0 {
			list = []any{nil}
		}
		list[0] = rest.set(list[0], value)
		return list
	}
	object, ok := at.(map[string]any)
	if !ok {
		object = map[string]any{}
	}
	object[l[0]] = rest.set(object[l[0]], value)
	return object
}

// isWithin reports whether the path is one of the fields or below one of them.
func isWithin(path string, fields []string) bool {
	for _, f := range fields {
		if path == f || strings.HasPrefix(path, f+".") {
			return true
		}
	}
	return false
}

// stripElementKeys removes the keys of list and map elements, in brackets, from a path.
func stripElementKeys(path string) string {
	var b strings.Builder
	quoted, depth := false, 0
	for _, r := range path {
		switch {
		case r == '"':
			quoted = !quoted
		case quoted:
		case r == '[':
			depth++
		case r == ']':
			depth--
		case depth == 0:
			b.WriteRune(r)
		}
	}
	return b.String()
}
