// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package fieldpath

import (
	"cmp"
	"iter"
	"reflect"
	"slices"
	"strconv"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// maxElements is the number of elements of a list, or entries of a map, in which fields are changed. The
// others have the same fields.
const maxElements = 4

// Variants returns at most limit copies of a Job, and the number that there are without the limit. In each
// of them one field that the pattern matches, or a field below it, has another value. The first elements of
// lists come first, and in them the fields closest to the pattern. The values have the right type, but may
// be invalid. If structs or list elements above the field are missing, the variant has them too.
func (p Pattern) Variants(job *batchv1.Job, limit int) (variants iter.Seq[*batchv1.Job], total int) {
	// A change belongs to one copy of the Job. The order of the changes is the same in each copy.
	_, changes := p.changes(job)
	order := make([]int, len(changes))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(changes[a].element-changes[b].element, changes[a].depth-changes[b].depth)
	})
	return func(yield func(*batchv1.Job) bool) {
		for _, number := range order[:min(limit, len(order))] {
			variant, changes := p.changes(job)
			changes[number].apply()
			if !yield(variant) {
				return
			}
		}
	}, len(order)
}

// changes returns a copy of a Job and the possible changes of the copy.
func (p Pattern) changes(job *batchv1.Job) (*batchv1.Job, []change) {
	variant := job.DeepCopy()
	var v varier
	v.visit(reflect.ValueOf(variant).Elem(), root, p.steps, func() {})
	return variant, v.changes
}

// change changes one field.
type change struct {
	element int // the sum of the indices of the list elements above the field
	depth   int // the number of structs between the pattern and the field
	apply   func()
}

// varier collects the possible changes of one Job.
type varier struct {
	element, depth int
	changes        []change
}

// add adds a change that is made after attach.
func (v *varier) add(attach, apply func()) {
	v.changes = append(v.changes, change{v.element, v.depth, func() { attach(); apply() }})
}

// visit adds changes of the fields that the steps lead to from a value. attach makes the value a part
// of the Job, if it is not one yet.
func (v *varier) visit(value reflect.Value, n node, steps []step, attach func()) {
	switch kind := value.Kind(); {
	case kind == reflect.Pointer && value.IsNil():
		created := reflect.New(value.Type().Elem())
		create := func() { attach(); value.Set(created) }
		if elem := created.Elem(); elem.Kind() == reflect.Struct && elem.NumField() == 0 {
			v.add(create, func() {})
			return
		}
		v.visit(created.Elem(), n, steps, create)
	case kind == reflect.Pointer:
		v.visit(value.Elem(), n, steps, attach)
		if len(steps) == 0 {
			v.add(attach, value.SetZero)
		}
	case IsScalar(value.Type()):
		v.add(attach, func() { changeScalar(value) })
	case kind == reflect.Struct:
		v.visitFields(value, steps, attach)
	case kind == reflect.Slice:
		v.visitList(value, n, steps, attach)
	case kind == reflect.Map:
		v.visitMap(value, steps, attach)
	default:
		v.add(attach, func() { changeScalar(value) })
	}
}

// isUpdatable reports whether an update can change a field of a struct.
func isUpdatable(parent reflect.Type, field string) bool {
	switch parent {
	case root.typ:
		return field == "metadata" || field == "spec"
	case reflect.TypeFor[metav1.ObjectMeta]():
		return !slices.Contains(serverOwned, field)
	}
	return true
}

func (v *varier) visitFields(value reflect.Value, steps []step, attach func()) {
	if len(steps) == 0 {
		v.depth++
		defer func() { v.depth-- }()
	}
	for i := range value.NumField() {
		name, list := DescribeField(value.Type().Field(i))
		child := node{indirect(value.Type().Field(i).Type), list}
		switch {
		case len(steps) == 0 && !isUpdatable(value.Type(), name):
		case name == "": // an inlined struct
			v.visit(value.Field(i), child, steps, attach)
		case len(steps) == 0:
			v.visit(value.Field(i), child, nil, attach)
		case steps[0].text == name:
			v.visit(value.Field(i), child, steps[1:], attach)
		}
	}
}

// visitList adds changes in the elements that the first step matches, and removes these elements. If
// there is none, it adds one.
func (v *varier) visitList(list reflect.Value, n node, steps []step, attach func()) {
	all := step{kind: stepAny}
	rest := steps
	if len(steps) > 0 {
		all, rest = steps[0], steps[1:]
	}
	found := 0
	for i := 0; i < list.Len() && found < maxElements; i++ {
		if !all.matches(elementStep(list.Index(i), n.list)) {
			continue
		}
		v.element += found
		if len(n.list.MapKeys) > 0 || len(steps) == 0 {
			v.visit(list.Index(i), elementNode(n.typ), rest, attach)
		}
		v.element -= found
		found++
		if len(rest) == 0 {
			v.add(attach, func() {
				list.Set(reflect.AppendSlice(list.Slice(0, i), list.Slice(i+1, list.Len())))
			})
		}
	}
	if found > 0 {
		return
	}
	added := reflect.New(list.Type().Elem()).Elem()
	setKeys(added, all)
	attachElement := func() { attach(); list.Set(reflect.Append(list, added)) }
	if len(rest) == 0 {
		v.add(attachElement, func() {})
		return
	}
	// The element is copied into the list, so it is changed before it is attached.
	first := len(v.changes)
	v.visit(added, elementNode(n.typ), rest, func() {})
	for i, c := range v.changes[first:] {
		v.changes[first+i].apply = func() { c.apply(); attachElement() }
	}
}

// visitMap changes and deletes the entries that the first step matches. If there is none, it adds one.
func (v *varier) visitMap(entries reflect.Value, steps []step, attach func()) {
	all := step{kind: stepAny}
	if len(steps) > 0 {
		all = steps[0]
	}
	keys := slices.DeleteFunc(entries.MapKeys(), func(key reflect.Value) bool {
		return !all.matches(Path{}.Key(key.String()).steps[0])
	})
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	if len(keys) == 0 {
		key := reflect.New(entries.Type().Key()).Elem()
		key.SetString(all.anyKey())
		keys = append(keys, key)
	}
	for _, key := range keys[:min(len(keys), maxElements)] {
		changed := reflect.New(entries.Type().Elem()).Elem()
		if old := entries.MapIndex(key); old.IsValid() {
			changed.Set(old)
			v.add(attach, func() { entries.SetMapIndex(key, reflect.Value{}) })
		}
		v.add(attach, func() {
			changeScalar(changed)
			if entries.IsNil() {
				entries.Set(reflect.MakeMap(entries.Type()))
			}
			entries.SetMapIndex(key, changed)
		})
	}
}

// elementStep returns the step that leads to an element of a list, which is atomic or has the keys.
func elementStep(element reflect.Value, list ListType) step {
	if !list.Associative {
		return step{kind: stepElement}
	}
	return Path{}.ListElement(element, list.MapKeys).steps[0]
}

// setKeys gives a new list element the keys of a step.
func setKeys(element reflect.Value, s step) {
	if element.Kind() == reflect.String {
		element.SetString(s.anyKey())
		return
	}
	for _, key := range s.keys() {
		switch field := fieldNamed(element, key.name); field.Kind() {
		case reflect.String:
			value, _ := strconv.Unquote(key.value)
			field.SetString(value)
		case reflect.Int32:
			number, _ := strconv.ParseInt(key.value, 10, 32)
			field.SetInt(number)
		}
	}
}

// anyKey returns a key that the step matches.
func (s step) anyKey() string {
	if s.kind != stepKey {
		return "x"
	}
	quoted := strings.Trim(s.text, "[]")
	if prefix, ok := s.keyPrefix(); ok {
		quoted = strings.TrimPrefix(prefix, "[") + `x"`
	}
	key, _ := strconv.Unquote(quoted)
	return key
}

// changeScalar sets another value of the same type.
func changeScalar(value reflect.Value) {
	switch old := value.Interface().(type) {
	case resource.Quantity:
		old.Add(resource.MustParse("1"))
		value.Set(reflect.ValueOf(old))
		return
	case metav1.Time:
		value.Set(reflect.ValueOf(metav1.Unix(old.Unix()+1, 0)))
		return
	case metav1.FieldsV1:
		value.Set(reflect.ValueOf(*metav1.NewFieldsV1(`{"f:x":{}}`)))
		return
	case intstr.IntOrString:
		value.Set(reflect.ValueOf(intstr.FromInt32(old.IntVal + 1)))
		return
	}
	switch value.Kind() {
	case reflect.Bool:
		value.SetBool(!value.Bool())
	case reflect.Int32, reflect.Int64:
		value.SetInt(value.Int() + 1)
	case reflect.String:
		value.SetString(value.String() + "x")
	}
}
