package fieldpolicy

import (
	"reflect"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/equality"
)

// compare returns the paths of the metadata and spec that differ between old and new,
// sorted, and new with the stored form of all that does not differ: a field that is equal
// in meaning is that of old (nil for empty, 1Gi for 1073741824). The merged Job shares
// memory with both.
//
// A struct or list element that exists on one side only is one path; a keyed list that
// holds its elements in another order is one too, since the order of containers and volumes
// has a meaning.
func compare(new, old *batchv1.Job) (merged *batchv1.Job, changes []Path) {
	var d differ
	job := *new
	reflect.ValueOf(&job.ObjectMeta).Elem().Set(d.compare("metadata", reflect.ValueOf(old.ObjectMeta), reflect.ValueOf(new.ObjectMeta)))
	reflect.ValueOf(&job.Spec).Elem().Set(d.compare("spec", reflect.ValueOf(old.Spec), reflect.ValueOf(new.Spec)))
	changes = slices.DeleteFunc(d.paths, func(p Path) bool { return p.within(serverOwned) })
	slices.Sort(changes)
	return &job, changes
}

// differ collects the paths in which two values of one type differ.
type differ struct {
	paths []Path
}

func (d *differ) report(p Path) { d.paths = append(d.paths, p) }

// compare reports the outermost paths at or below p that exist on one side only, and the
// innermost ones that differ between the sides. It returns b with all that is equal in a
// taken from a.
func (d *differ) compare(p Path, a, b reflect.Value) reflect.Value {
	if equality.Semantic.DeepEqual(a.Interface(), b.Interface()) {
		return a
	}
	switch a.Kind() {
	case reflect.Pointer:
		if !a.IsNil() && !b.IsNil() {
			merged := reflect.New(a.Type().Elem())
			merged.Elem().Set(d.compare(p, a.Elem(), b.Elem()))
			return merged
		}
	case reflect.Struct:
		if !slices.Contains(leaves, a.Type()) {
			return d.compareStructs(p, a, b)
		}
	case reflect.Map:
		return d.compareMaps(p, a, b)
	}
	// Lists without keys included: those are replaced as a whole.
	d.report(p)
	return b
}

func (d *differ) compareStructs(p Path, a, b reflect.Value) reflect.Value {
	merged := reflect.New(a.Type()).Elem()
	for i := range a.NumField() {
		name, list := describe(a.Type().Field(i))
		child := p
		if name != "" { // an inlined struct has no name of its own
			child = p.field(name)
		}
		if list.merged {
			merged.Field(i).Set(d.compareLists(child, a.Field(i), b.Field(i), list.keys))
			continue
		}
		merged.Field(i).Set(d.compare(child, a.Field(i), b.Field(i)))
	}
	return merged
}

func (d *differ) compareMaps(p Path, a, b reflect.Value) reflect.Value {
	for _, k := range a.MapKeys() {
		if !b.MapIndex(k).IsValid() {
			d.report(p.key(k.String()))
		}
	}
	if b.IsNil() {
		return b
	}
	merged := reflect.MakeMapWithSize(b.Type(), b.Len())
	for _, k := range b.MapKeys() {
		was, is := a.MapIndex(k), b.MapIndex(k)
		if was.IsValid() && equality.Semantic.DeepEqual(was.Interface(), is.Interface()) {
			is = was
		} else {
			d.report(p.key(k.String()))
		}
		merged.SetMapIndex(k, is)
	}
	return merged
}

// compareLists compares lists whose elements have an identity: fields that are their keys,
// or, where there are none, their value.
func (d *differ) compareLists(p Path, a, b reflect.Value, keys []string) reflect.Value {
	if equality.Semantic.DeepEqual(a.Interface(), b.Interface()) {
		return a
	}
	inA, orderA, okA := index(p, a, keys)
	inB, orderB, okB := index(p, b, keys)
	if !okA || !okB {
		d.report(p) // a key that occurs twice identifies nothing
		return b
	}
	merged := reflect.MakeSlice(b.Type(), 0, b.Len())
	if b.IsNil() {
		merged = b
	}
	for _, e := range orderB {
		element := inB[e]
		if was, both := inA[e]; both {
			element = d.compare(e, was, element)
		} else {
			d.report(e)
		}
		merged = reflect.Append(merged, element)
	}
	for _, e := range orderA {
		if _, both := inB[e]; !both {
			d.report(e)
		}
	}
	removed := func(e Path) bool { _, both := inB[e]; return !both }
	added := func(e Path) bool { _, both := inA[e]; return !both }
	if !slices.Equal(slices.DeleteFunc(orderA, removed), slices.DeleteFunc(orderB, added)) {
		d.report(p)
	}
	return merged
}

// index returns the elements of list by their path below p, and the paths in the order of
// the list. It reports false where two elements have the same path.
func index(p Path, list reflect.Value, keys []string) (map[Path]reflect.Value, []Path, bool) {
	elements := make(map[Path]reflect.Value, list.Len())
	order := make([]Path, 0, list.Len())
	for i := range list.Len() {
		e := list.Index(i)
		path := elementPath(p, e, keys)
		if _, twice := elements[path]; twice {
			return nil, nil, false
		}
		elements[path] = e
		order = append(order, path)
	}
	return elements, order, true
}

// elementPath returns the path of the element e of the list p.
func elementPath(p Path, e reflect.Value, keys []string) Path {
	if len(keys) == 0 {
		return p.key(e.String())
	}
	values := make([]any, len(keys))
	for i, name := range keys {
		values[i] = scalar(fieldByJSONName(e, name))
	}
	return p.element(keys, values)
}

// scalar returns the value of a key field, with named string types as plain strings.
func scalar(v reflect.Value) any {
	if v.Kind() == reflect.String {
		return v.String()
	}
	return v.Interface()
}

func fieldByJSONName(v reflect.Value, name string) reflect.Value {
	return v.FieldByNameFunc(func(field string) bool {
		f, _ := v.Type().FieldByName(field)
		tag, _ := describe(f)
		return tag == name
	})
}
