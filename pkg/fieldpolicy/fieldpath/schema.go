// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package fieldpath

import (
	"reflect"
	"slices"
	"strings"
	"sync"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// scalarStructs are the structs that the API serializes as a single value.
var scalarStructs = []reflect.Type{
	reflect.TypeFor[resource.Quantity](),
	reflect.TypeFor[metav1.Time](),
	reflect.TypeFor[metav1.FieldsV1](),
	reflect.TypeFor[intstr.IntOrString](),
}

// IsScalar reports whether the API serializes the struct type as a single value.
func IsScalar(typ reflect.Type) bool { return slices.Contains(scalarStructs, typ) }

// ListType says how server-side apply merges a list. The zero value is an atomic list, which
// an update replaces as a whole.
type ListType struct {
	// Associative is true for lists of the type set or map, whose elements have an identity.
	Associative bool
	// MapKeys are the fields that identify an element of a list of the type map. It is empty
	// for a set.
	MapKeys []string
}

// additionalKeys completes the keys of lists that server-side apply merges by two keys. The
// struct tags of k8s.io/api only have the first one, which strategic merge patch uses.
var additionalKeys = map[string]string{
	"containerPort": "protocol",
	"topologyKey":   "whenUnsatisfiable",
}

// untaggedLists are the associative lists that strategic merge patch, and therefore their
// struct tags, treat as atomic. The value is their key, empty for a set.
var untaggedLists = map[string]string{
	"bindMountOptions": "",
	"claims":           "name",
}

// DescribeField returns the JSON name of a struct's field, which is empty for an inlined
// struct, and the type of the list if the field is one.
func DescribeField(f reflect.StructField) (name string, list ListType) {
	name, _, _ = strings.Cut(f.Tag.Get("json"), ",")
	if f.Type.Kind() != reflect.Slice {
		return name, ListType{}
	}
	key, associative := untaggedLists[name]
	if !associative {
		key = f.Tag.Get("patchMergeKey")
		associative = strings.Contains(f.Tag.Get("patchStrategy"), "merge")
	}
	if !associative {
		return name, ListType{}
	}
	list.Associative = true
	if key != "" {
		list.MapKeys = []string{key}
		if additional, ok := additionalKeys[key]; ok {
			list.MapKeys = append(list.MapKeys, additional)
		}
	}
	return name, list
}

// node is a node of the schema of a Job.
type node struct {
	typ  reflect.Type // never a pointer
	list ListType
}

// root is the schema of a Job.
var root = node{typ: reflect.TypeFor[batchv1.Job]()}

// child returns the node that a step of a pattern leads to, and whether there is one.
func (n node) child(s step) (node, bool) {
	switch n.typ.Kind() {
	case reflect.Struct:
		for _, f := range n.fields() {
			if s.kind == stepField && s.text == f.name {
				return f.node, true
			}
		}
	case reflect.Map:
		return elementNode(n.typ), s.kind == stepAny || s.kind == stepKey
	case reflect.Slice:
		switch {
		case !n.list.Associative:
			return node{}, false
		case s.kind == stepAny:
			return elementNode(n.typ), true
		case len(n.list.MapKeys) == 0:
			return elementNode(n.typ), s.kind == stepKey
		default:
			element := elementNode(n.typ)
			return element, s.kind == stepElement && element.hasKeys(n.list.MapKeys, s.keys())
		}
	}
	return node{}, false
}

// hasKeys reports whether keys have the names, in this order, and the types of the fields.
func (n node) hasKeys(names []string, keys []elementKey) bool {
	return slices.EqualFunc(names, keys, func(name string, key elementKey) bool {
		value, ok := n.child(step{kind: stepField, text: name})
		return ok && name == key.name && key.isString == (value.typ.Kind() == reflect.String)
	})
}

type namedNode struct {
	name string
	node
}

// knownFields has the results of node.fields by reflect.Type. Compiling many policies would otherwise
// spend half of its time on struct tags.
var knownFields sync.Map

// fields returns the fields of a struct, including the fields of inlined structs. The result must not be
// modified.
func (n node) fields() []namedNode {
	if n.typ.Kind() != reflect.Struct || IsScalar(n.typ) {
		return nil
	}
	if fields, ok := knownFields.Load(n.typ); ok {
		return fields.([]namedNode)
	}
	var fields []namedNode
	for i := range n.typ.NumField() {
		f := n.typ.Field(i)
		name, list := DescribeField(f)
		child := node{indirect(f.Type), list}
		if name == "" {
			fields = append(fields, child.fields()...)
			continue
		}
		fields = append(fields, namedNode{name, child})
	}
	knownFields.Store(n.typ, fields)
	return fields
}

// elementNode returns the node of the elements of a list or map.
func elementNode(typ reflect.Type) node { return node{typ: indirect(typ.Elem())} }

func indirect(typ reflect.Type) reflect.Type {
	if typ.Kind() == reflect.Pointer {
		return typ.Elem()
	}
	return typ
}
