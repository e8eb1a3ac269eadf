// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package fieldpolicy

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kube-openapi/pkg/validation/spec"
	generatedopenapi "k8s.io/kubernetes/pkg/generated/openapi"

	"github.com/batchgate/batchgate/pkg/fieldpolicy/fieldpath"
)

// schemas are upstream's OpenAPI definitions. Unlike the struct tags of the Go types, they
// define how server-side apply identifies the elements of a list.
var schemas = generatedopenapi.GetOpenAPIDefinitions(spec.MustCreateRef)

// schemaOf returns the definition of a model.
func schemaOf(t testing.TB, model interface{ OpenAPIModelName() string }) spec.Schema {
	t.Helper()
	definition, ok := schemas[model.OpenAPIModelName()]
	if !ok {
		t.Fatalf("upstream's OpenAPI has no %s", model.OpenAPIModelName())
	}
	return definition.Schema
}

// resolved returns the schema that s refers to, or s itself if it is not a reference.
func resolved(s spec.Schema) spec.Schema {
	if name := s.Ref.String(); name != "" {
		return schemas[name].Schema
	}
	return s
}

// listKeys returns the keys of a list's elements, which are empty for a set, and whether the
// list is associative.
func listKeys(s spec.Schema) (keys []string, associative bool) {
	switch s.Extensions["x-kubernetes-list-type"] {
	case "map":
		for _, key := range s.Extensions["x-kubernetes-list-map-keys"].([]any) {
			keys = append(keys, key.(string))
		}
		return keys, true
	case "set":
		return nil, true
	}
	return nil, false
}

// eachList calls visit once for every list field that a path can contain. That excludes fields
// in elements of atomic lists.
func eachList(t *testing.T, typ reflect.Type, s spec.Schema, visit func(owner reflect.Type, f reflect.StructField, s spec.Schema)) {
	seen := map[reflect.Type]bool{}
	var walk func(typ reflect.Type, s spec.Schema)
	walk = func(typ reflect.Type, s spec.Schema) {
		s = resolved(s)
		switch typ.Kind() {
		case reflect.Pointer:
			walk(typ.Elem(), s)
		case reflect.Slice:
			if _, associative := listKeys(s); associative && s.Items.Schema != nil {
				walk(typ.Elem(), *s.Items.Schema)
			}
		case reflect.Struct:
			if seen[typ] || isScalar(typ) {
				return
			}
			seen[typ] = true
			for _, f := range apiFields(typ) {
				property := propertyOf(t, typ, s, f)
				if f.Type.Kind() == reflect.Slice {
					visit(typ, f, property)
				}
				walk(f.Type, property)
			}
		}
	}
	walk(typ, s)
}

// apiFields returns the fields of a struct, including the fields of inlined structs. Their
// index is relative to the outer struct.
func apiFields(typ reflect.Type) []reflect.StructField {
	var fields []reflect.StructField
	for i := range typ.NumField() {
		f := typ.Field(i)
		if jsonName(f) != "" {
			fields = append(fields, f)
			continue
		}
		for _, inlined := range apiFields(f.Type) {
			inlined.Index = append([]int{i}, inlined.Index...)
			fields = append(fields, inlined)
		}
	}
	return fields
}

func propertyOf(t testing.TB, owner reflect.Type, s spec.Schema, f reflect.StructField) spec.Schema {
	t.Helper()
	property, ok := s.Properties[jsonName(f)]
	if !ok {
		t.Errorf("upstream's OpenAPI has no field %s of %s", jsonName(f), owner)
	}
	return property
}

func jsonName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

func TestCompare_UsesKeysOfServerSideApply(t *testing.T) {
	lists := 0
	check := func(owner reflect.Type, f reflect.StructField, s spec.Schema) {
		lists++
		with := reflect.New(owner).Elem()
		element := fill(reflect.New(f.Type.Elem()).Elem())
		with.FieldByIndex(f.Index).Set(reflect.Append(reflect.New(f.Type).Elem(), element))

		want := jsonName(f)
		if keys, associative := listKeys(s); associative {
			want += elementName(keys, element)
		}
		var d differ
		d.merge(fieldpath.Path{}, reflect.New(owner).Elem(), with)
		if diff := cmp.Diff([]string{want}, texts(d.paths)); diff != "" {
			t.Errorf("%s.%s: path of an added element (-want +got):\n%s", owner, f.Name, diff)
		}
	}
	eachList(t, reflect.TypeFor[metav1.ObjectMeta](), schemaOf(t, metav1.ObjectMeta{}), check)
	eachList(t, reflect.TypeFor[batchv1.JobSpec](), schemaOf(t, batchv1.JobSpec{}), check)
	if lists < 50 {
		t.Errorf("found only %d lists in a Job", lists)
	}
}

// elementName returns the step of a path that leads to an element of an associative list.
func elementName(keys []string, element reflect.Value) string {
	if len(keys) == 0 {
		return fmt.Sprintf("[%q]", element.String())
	}
	pairs := make([]string, len(keys))
	for i, key := range keys {
		v := reflect.Indirect(fieldNamed(element, key))
		if v.Kind() == reflect.String {
			pairs[i] = fmt.Sprintf("%s=%q", key, v.String())
		} else {
			pairs[i] = fmt.Sprintf("%s=%v", key, v.Interface())
		}
	}
	return "[" + strings.Join(pairs, ",") + "]"
}

func fieldNamed(v reflect.Value, name string) reflect.Value {
	for _, f := range apiFields(v.Type()) {
		if jsonName(f) == name {
			return v.FieldByIndex(f.Index)
		}
	}
	return reflect.Value{}
}
