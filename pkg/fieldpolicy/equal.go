package fieldpolicy

import (
	"maps"
	"reflect"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kubernetes/pkg/apis/core"
)

// semanticEqual compares what two pointers point to, by the rules of
// k8s.io/apimachinery/pkg/api/equality.Semantic: nil and empty lists and maps are equal, and so
// are two spellings of a quantity, and of a time. It is for the types of a Job's spec, which have no
// cycles, and takes a twentieth of the time and no memory. A type that it does not know makes
// it say no; the tests change every field of a Job.
func semanticEqual[T any](a, b *T) bool {
	return equalValues(reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem())
}

var (
	quantityType = reflect.TypeFor[resource.Quantity]()
	timeType     = reflect.TypeFor[metav1.Time]()
)

// equalValues compares two values of one type. Structs are addressable.
func equalValues(a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.String:
		return a.String() == b.String()
	case reflect.Bool:
		return a.Bool() == b.Bool()
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return a.Int() == b.Int()
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return a.Uint() == b.Uint()
	case reflect.Pointer:
		if a.IsNil() || b.IsNil() {
			return a.IsNil() && b.IsNil()
		}
		return equalValues(a.Elem(), b.Elem())
	case reflect.Struct:
		return equalStructs(a, b)
	case reflect.Slice:
		if a.Len() != b.Len() {
			return false
		}
		for i := range a.Len() {
			if !equalValues(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	case reflect.Map:
		return equalMaps(a.Interface(), b.Interface())
	}
	return false
}

func equalStructs(a, b reflect.Value) bool {
	switch a.Type() {
	case quantityType:
		return a.Addr().Interface().(*resource.Quantity).Cmp(*b.Addr().Interface().(*resource.Quantity)) == 0
	case timeType:
		return a.Addr().Interface().(*metav1.Time).Equal(b.Addr().Interface().(*metav1.Time))
	}
	for i := range a.NumField() {
		if !equalValues(a.Field(i), b.Field(i)) {
			return false
		}
	}
	return true
}

// equalMaps knows the types of the maps in a Job.
func equalMaps(a, b any) bool {
	switch a := a.(type) {
	case map[string]string:
		return maps.Equal(a, b.(map[string]string))
	case core.ResourceList:
		return maps.EqualFunc(a, b.(core.ResourceList), func(x, y resource.Quantity) bool { return x.Cmp(y) == 0 })
	}
	return false
}
