// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package fieldpolicy

import (
	"fmt"
	"reflect"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// fill sets all fields at and below v, with one element in each list and map, and returns v.
func fill(v reflect.Value) reflect.Value {
	if isScalar(v.Type()) {
		v.Set(scalarValues(v.Type())[0])
		return v
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key := reflect.New(v.Type().Key()).Elem()
		value := reflect.New(v.Type().Elem()).Elem()
		v.SetMapIndex(fill(key), fill(value))
	default:
		v.Set(scalarValues(v.Type())[0])
	}
	return v
}

// scalarStructs are the structs that the API serializes as a single value, with two different
// values each.
var scalarStructs = map[reflect.Type][2]any{
	reflect.TypeFor[resource.Quantity]():  {resource.MustParse("1Gi"), resource.MustParse("2Gi")},
	reflect.TypeFor[metav1.Time]():        {metav1.Unix(1, 0), metav1.Unix(2, 0)},
	reflect.TypeFor[metav1.FieldsV1]():    {*metav1.NewFieldsV1(`{"f:a":{}}`), *metav1.NewFieldsV1(`{"f:b":{}}`)},
	reflect.TypeFor[intstr.IntOrString](): {intstr.FromInt32(1), intstr.FromString("1")},
}

func isScalar(typ reflect.Type) bool {
	_, scalar := scalarStructs[typ]
	return scalar
}

// scalarValues returns two different values of a type without API fields.
func scalarValues(typ reflect.Type) [2]reflect.Value {
	values, ok := scalarStructs[typ]
	if !ok {
		switch typ.Kind() {
		case reflect.String:
			values = [2]any{"a", "b"}
		case reflect.Bool:
			values = [2]any{true, false}
		case reflect.Int32, reflect.Int64:
			values = [2]any{1, 2}
		default:
			panic(fmt.Sprintf("no values of type %s: add two if API fields have this type now", typ))
		}
	}
	return [2]reflect.Value{reflect.ValueOf(values[0]).Convert(typ), reflect.ValueOf(values[1]).Convert(typ)}
}
