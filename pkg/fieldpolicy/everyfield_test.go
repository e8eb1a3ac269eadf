// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package fieldpolicy

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/batchgate/batchgate/pkg/controller/jobupdatepolicy/bootstrappolicy"
	"github.com/batchgate/batchgate/pkg/fieldpolicy/fieldpath"
)

func TestFieldTables_AreSortedAndExist(t *testing.T) {
	tables := map[string][]string{}
	for _, f := range commonFields {
		tables["commonFields"] = append(tables["commonFields"], f.path)
	}
	for _, p := range bootstrappolicy.Policies() {
		tables[p.Name] = p.Spec.Fields
	}
	for table, paths := range tables {
		if !slices.IsSorted(paths) {
			t.Errorf("%s is not sorted: %q", table, paths)
		}
		for _, path := range paths {
			v := reflect.New(reflect.TypeFor[batchv1.Job]()).Elem()
			for name := range strings.SplitSeq(path, ".") {
				if v = fieldNamed(v, name); !v.IsValid() {
					t.Errorf("%s: a Job has no field %s", table, path)
					break
				}
			}
		}
	}
}

// updatable are the fields that the bootstrap policies should let everyone change.
var updatable = []string{"metadata.labels", "spec.completions", "spec.parallelism", "spec.selector"}

// TestEvaluate_EveryField changes each field of a Job in which all fields are set, one at a
// time: to another value and to no value. It derives the expected paths from upstream's
// OpenAPI, so it also covers fields that a new version of Kubernetes adds.
func TestEvaluate_EveryField(t *testing.T) {
	t.Parallel()
	job := &batchv1.Job{}
	metadata, spec := reflect.ValueOf(&job.ObjectMeta).Elem(), reflect.ValueOf(&job.Spec).Elem()
	w := walker{t: t}
	w.walk("metadata", fill(metadata), schemaOf(t, metav1.ObjectMeta{}), false)
	w.walk("spec", fill(spec), schemaOf(t, batchv1.JobSpec{}), false)

	old := internalJob(t, job)
	allowed := 0
	for _, change := range w.changes {
		undo := change.apply()
		new := internalJob(t, job)
		undo()
		want := slices.DeleteFunc(slices.Clone(change.paths), func(p string) bool {
			path, err := fieldpath.Parse(p)
			if err != nil {
				t.Fatal(err)
			}
			return within(p, updatable) || path.IsServerOwned()
		})
		if len(want) == 0 {
			allowed++
		}
		for _, path := range want {
			if pattern, err := fieldpath.ParsePattern(path); err != nil || pattern.String() != path {
				t.Errorf("%s can be denied, but no policy can grant it: %v", path, err)
			}
		}
		if diff := cmp.Diff(want, deniedPaths(t, new, old, ordinaryUser), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("after a change of %s (-want +got):\n%s", change.paths, diff)
		}
	}
	if denied := len(w.changes) - allowed; allowed < 20 || denied < 1000 {
		t.Errorf("only %d changes are allowed and %d denied: some fields are missing", allowed, denied)
	}
}

// change is one change of a Job with the changed paths.
type change struct {
	paths []string
	apply func() (undo func())
}

// walker collects the changes of a value whose fields are all set.
type walker struct {
	t       *testing.T
	changes []change
}

// walk adds the changes at and below v, which has the path p. If atomic is true, v is part of an
// atomic list and p is the path of that list.
func (w *walker) walk(p string, v reflect.Value, s spec.Schema, atomic bool) {
	s = resolved(s)
	switch kind := v.Kind(); {
	case isScalar(v.Type()):
		w.add(v, scalarValues(v.Type())[1], p)
	case kind == reflect.Pointer:
		w.add(v, reflect.Zero(v.Type()), p)
		w.walk(p, v.Elem(), s, atomic)
	case kind == reflect.Struct:
		w.fields(p, v, s, atomic, nil)
	case kind == reflect.Map:
		w.entry(p, v, atomic)
	case kind == reflect.Slice:
		w.list(p, v, s, atomic)
	default:
		w.add(v, scalarValues(v.Type())[1], p)
	}
}

// fields walks the fields of a struct, except its keys.
func (w *walker) fields(p string, v reflect.Value, s spec.Schema, atomic bool, keys []string) {
	for _, f := range apiFields(v.Type()) {
		child := p + "." + jsonName(f)
		if atomic {
			child = p
		}
		if !slices.Contains(keys, jsonName(f)) {
			w.walk(child, v.FieldByIndex(f.Index), propertyOf(w.t, v.Type(), s, f), atomic)
		}
	}
}

// entry removes and changes the only entry of a map.
func (w *walker) entry(p string, v reflect.Value, atomic bool) {
	key := v.MapKeys()[0]
	if !atomic {
		p += elementName(nil, key)
	}
	w.add(v, reflect.Zero(v.Type()), p)
	changed := reflect.MakeMap(v.Type())
	changed.SetMapIndex(key, scalarValues(v.Type().Elem())[1])
	w.add(v, changed, p)
}

// list removes and changes the only element of a list.
func (w *walker) list(p string, v reflect.Value, s spec.Schema, atomic bool) {
	element := v.Index(0)
	keys, associative := listKeys(s)
	if atomic || !associative {
		w.add(v, reflect.Zero(v.Type()), p)
		w.walk(p, element, *s.Items.Schema, true)
		return
	}
	name := p + elementName(keys, element)
	w.add(v, reflect.Zero(v.Type()), name)
	// A changed key removes one element and adds another one.
	rename := func(v reflect.Value) {
		undo := set(v, scalarValues(v.Type())[1])()
		renamed := p + elementName(keys, element)
		undo()
		w.add(v, scalarValues(v.Type())[1], name, renamed)
	}
	if len(keys) == 0 {
		rename(element)
		return
	}
	for _, key := range keys {
		rename(fieldNamed(element, key))
	}
	w.fields(name, element, resolved(*s.Items.Schema), false, keys)
}

func (w *walker) add(v, to reflect.Value, paths ...string) {
	w.changes = append(w.changes, change{paths: paths, apply: set(v, to)})
}

// set returns a function that sets v and returns a function that undoes it.
func set(v, to reflect.Value) func() (undo func()) {
	return func() func() {
		before := reflect.ValueOf(v.Interface())
		v.Set(to)
		return func() { v.Set(before) }
	}
}
