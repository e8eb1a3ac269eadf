// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package fieldpolicy

import (
	"cmp"
	"reflect"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/batchgate/batchgate/pkg/fieldpolicy/fieldpath"
)

// compare returns the paths of metadata and spec that differ between old and new, sorted by
// their text. merged is new with the stored form of all semantically equal fields. For example,
// if old has nil and new has an empty list, merged has nil, and if old has 1Gi and new has
// 1073741824, merged has 1Gi. It shares memory with both arguments.
//
// A struct or list element that only exists on one side is one path. An associative list
// whose elements changed their order is one path too, because the order of containers and
// volumes has a meaning.
//
// compare collects at most MaxChanges paths. If there are more, excess is the first of the others.
func compare(new, old *batchv1.Job) (merged *batchv1.Job, changed []fieldpath.Path, excess *fieldpath.Path) {
	var d differ
	job := *new
	reflect.ValueOf(&job.ObjectMeta).Elem().Set(d.merge(fieldpath.Path{}.Field("metadata"), reflect.ValueOf(old.ObjectMeta), reflect.ValueOf(new.ObjectMeta)))
	reflect.ValueOf(&job.Spec).Elem().Set(d.merge(fieldpath.Path{}.Field("spec"), reflect.ValueOf(old.Spec), reflect.ValueOf(new.Spec)))
	return &job, sorted(d.paths), d.excess
}

// sorted sorts paths by their text and removes duplicates.
func sorted(paths []fieldpath.Path) []fieldpath.Path {
	type pathWithText struct {
		fieldpath.Path
		text string // expensive to compute
	}
	all := make([]pathWithText, len(paths))
	for i, p := range paths {
		all[i] = pathWithText{p, p.String()}
	}
	slices.SortFunc(all, func(a, b pathWithText) int { return cmp.Compare(a.text, b.text) })
	all = slices.CompactFunc(all, func(a, b pathWithText) bool { return a.text == b.text })
	changed := make([]fieldpath.Path, len(all))
	for i, p := range all {
		changed[i] = p.Path
	}
	return changed
}

// differ collects the paths in which two values of the same type differ, except server-owned ones.
type differ struct {
	paths  []fieldpath.Path
	excess *fieldpath.Path
}

func (d *differ) add(p fieldpath.Path) {
	switch {
	case p.IsServerOwned():
	case len(d.paths) < MaxChanges:
		d.paths = append(d.paths, p)
	case d.excess == nil:
		d.excess = &p
	}
}

// merge adds the outermost paths at or below p that only exist on one side, and the innermost
// paths that exist on both sides and differ. It returns b, with the parts that are equal in
// both values taken from a.
func (d *differ) merge(p fieldpath.Path, a, b reflect.Value) reflect.Value {
	if equal(a, b) {
		return a
	}
	switch a.Kind() {
	case reflect.Pointer:
		if !a.IsNil() && !b.IsNil() {
			merged := reflect.New(a.Type().Elem())
			merged.Elem().Set(d.merge(p, a.Elem(), b.Elem()))
			return merged
		}
	case reflect.Struct:
		if !fieldpath.IsScalar(a.Type()) {
			return d.mergeStructs(p, a, b)
		}
	case reflect.Map:
		return d.mergeMaps(p, a, b)
	}
	// This includes atomic lists: an update replaces them as a whole.
	d.add(p)
	return b
}

func equal(a, b reflect.Value) bool {
	return equality.Semantic.DeepEqual(a.Interface(), b.Interface())
}

func (d *differ) mergeStructs(p fieldpath.Path, a, b reflect.Value) reflect.Value {
	merged := reflect.New(a.Type()).Elem()
	for i := range a.NumField() {
		name, list := fieldpath.DescribeField(a.Type().Field(i))
		child := p
		if name != "" { // an inlined struct has no name
			child = p.Field(name)
		}
		if list.Associative {
			merged.Field(i).Set(d.mergeLists(child, a.Field(i), b.Field(i), list.MapKeys))
			continue
		}
		merged.Field(i).Set(d.merge(child, a.Field(i), b.Field(i)))
	}
	return merged
}

func (d *differ) mergeMaps(p fieldpath.Path, a, b reflect.Value) reflect.Value {
	for _, k := range a.MapKeys() {
		if !b.MapIndex(k).IsValid() {
			d.add(p.Key(k.String()))
		}
	}
	if b.IsNil() {
		return b
	}
	merged := reflect.MakeMapWithSize(b.Type(), b.Len())
	for _, k := range b.MapKeys() {
		before, after := a.MapIndex(k), b.MapIndex(k)
		if before.IsValid() && equal(before, after) {
			after = before
		} else {
			d.add(p.Key(k.String()))
		}
		merged.SetMapIndex(k, after)
	}
	return merged
}

// mergeLists merges associative lists: those of the list type map, which have keys, and sets.
func (d *differ) mergeLists(p fieldpath.Path, a, b reflect.Value, keys []string) reflect.Value {
	if equal(a, b) {
		return a
	}
	inA, okA := indexList(p, a, keys)
	inB, okB := indexList(p, b, keys)
	if !okA || !okB {
		d.add(p) // a key that occurs twice identifies no element
		return b
	}
	merged := reflect.MakeSlice(b.Type(), 0, b.Len())
	if b.IsNil() {
		merged = b
	}
	for _, path := range inB.order {
		element := inB.elements[path.Last()]
		if before, ok := inA.elements[path.Last()]; ok {
			element = d.merge(path, before, element)
		} else {
			d.add(path)
		}
		merged = reflect.Append(merged, element)
	}
	for _, path := range inA.order {
		if !inB.has(path) {
			d.add(path)
		}
	}
	if !slices.Equal(inA.commonOrder(inB), inB.commonOrder(inA)) {
		d.add(p)
	}
	return merged
}

// listIndex holds the elements of an associative list by the last step of their paths.
type listIndex struct {
	elements map[string]reflect.Value
	order    []fieldpath.Path
}

// indexList returns false if two elements have the same key.
func indexList(p fieldpath.Path, list reflect.Value, keys []string) (listIndex, bool) {
	index := listIndex{make(map[string]reflect.Value, list.Len()), make([]fieldpath.Path, 0, list.Len())}
	for i := range list.Len() {
		e := list.Index(i)
		path := p.ListElement(e, keys)
		if index.has(path) {
			return listIndex{}, false
		}
		index.elements[path.Last()] = e
		index.order = append(index.order, path)
	}
	return index, true
}

func (l listIndex) has(path fieldpath.Path) bool {
	_, ok := l.elements[path.Last()]
	return ok
}

// commonOrder returns the elements of l that other has too, in the order of l.
func (l listIndex) commonOrder(other listIndex) []string {
	var common []string
	for _, path := range l.order {
		if other.has(path) {
			common = append(common, path.Last())
		}
	}
	return common
}
