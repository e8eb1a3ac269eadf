package fieldpolicy

import (
	"reflect"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Refused returns the paths that differ between old and new and that neither everyone nor
// the user may change, sorted. A struct or list element that exists on one side only is
// one path; a keyed list that holds its elements in another order is one too, since the
// order of containers and volumes has a meaning.
//
// It compares as [Keep] does (nil equals empty, quantities by value), so that for an
// update that Keep does not allow it names at least one path.
func Refused(new, old *batchv1.Job, user User) []Path {
	var d differ
	d.compare("metadata", reflect.ValueOf(old.ObjectMeta), reflect.ValueOf(new.ObjectMeta))
	d.compare("spec", reflect.ValueOf(old.Spec), reflect.ValueOf(new.Spec))
	granted := user.granted()
	paths := slices.DeleteFunc(d.paths, func(p Path) bool {
		return p.within(Updatable) || p.within(serverOwned) || p.within(granted)
	})
	slices.Sort(paths)
	return paths
}

// leaves are the structs whose fields are not fields of the API.
var leaves = []reflect.Type{
	reflect.TypeFor[resource.Quantity](),
	reflect.TypeFor[metav1.Time](),
	reflect.TypeFor[metav1.FieldsV1](),
	reflect.TypeFor[intstr.IntOrString](),
}

// furtherKeys completes the key of lists that server-side apply merges by more than the
// one key strategic merge patch knows: k8s.io/api names only that one in its struct tags,
// and the others in comments.
var furtherKeys = map[string]string{
	"containerPort": "protocol",
	"topologyKey":   "whenUnsatisfiable",
}

// untagged are the lists that server-side apply merges and strategic merge patch, hence
// the struct tags, does not: their key, empty where the elements are their own.
var untagged = map[string]string{
	"bindMountOptions": "",
	"claims":           "name",
}

// differ collects the paths in which two values of one type differ.
type differ struct {
	paths []Path
}

func (d *differ) report(p Path) { d.paths = append(d.paths, p) }

// compare reports the outermost paths at or below p that exist on one side only, and the
// innermost ones that differ between the sides.
func (d *differ) compare(p Path, a, b reflect.Value) {
	if equality.Semantic.DeepEqual(a.Interface(), b.Interface()) {
		return
	}
	switch a.Kind() {
	case reflect.Pointer:
		if a.IsNil() || b.IsNil() {
			d.report(p)
			return
		}
		d.compare(p, a.Elem(), b.Elem())
	case reflect.Struct:
		d.compareStructs(p, a, b)
	case reflect.Map:
		d.compareMaps(p, a, b)
	default:
		// Lists without a key included: those are replaced as a whole.
		d.report(p)
	}
}

func (d *differ) compareStructs(p Path, a, b reflect.Value) {
	if slices.Contains(leaves, a.Type()) {
		d.report(p)
		return
	}
	for i := range a.NumField() {
		f := a.Type().Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		child := p
		if name != "" { // an inlined struct has no name of its own
			child = p.field(name)
		}
		key, merged := untagged[name]
		if !merged {
			key = f.Tag.Get("patchMergeKey")
			merged = strings.Contains(f.Tag.Get("patchStrategy"), "merge")
		}
		if f.Type.Kind() == reflect.Slice && merged {
			d.compareLists(child, a.Field(i), b.Field(i), key)
			continue
		}
		d.compare(child, a.Field(i), b.Field(i))
	}
}

func (d *differ) compareMaps(p Path, a, b reflect.Value) {
	for _, k := range a.MapKeys() {
		other := b.MapIndex(k)
		if !other.IsValid() || !equality.Semantic.DeepEqual(a.MapIndex(k).Interface(), other.Interface()) {
			d.report(p.key(k.String()))
		}
	}
	for _, k := range b.MapKeys() {
		if !a.MapIndex(k).IsValid() {
			d.report(p.key(k.String()))
		}
	}
}

// compareLists compares lists whose elements have an identity: a field that is their key,
// or, where key is empty, their value.
func (d *differ) compareLists(p Path, a, b reflect.Value, key string) {
	if equality.Semantic.DeepEqual(a.Interface(), b.Interface()) {
		return
	}
	inA, orderA, okA := index(p, a, key)
	inB, orderB, okB := index(p, b, key)
	if !okA || !okB {
		d.report(p) // a key that occurs twice identifies nothing
		return
	}
	for _, e := range orderA {
		if v, both := inB[e]; both {
			d.compare(e, inA[e], v)
		} else {
			d.report(e)
		}
	}
	for _, e := range orderB {
		if _, both := inA[e]; !both {
			d.report(e)
		}
	}
	removed := func(e Path) bool { _, both := inB[e]; return !both }
	added := func(e Path) bool { _, both := inA[e]; return !both }
	if !slices.Equal(slices.DeleteFunc(orderA, removed), slices.DeleteFunc(orderB, added)) {
		d.report(p)
	}
}

// index returns the elements of list by their path below p, and the paths in the order of
// the list. It reports false where two elements have the same path.
func index(p Path, list reflect.Value, key string) (map[Path]reflect.Value, []Path, bool) {
	elements := make(map[Path]reflect.Value, list.Len())
	order := make([]Path, 0, list.Len())
	for i := range list.Len() {
		e := list.Index(i)
		path := elementPath(p, e, key)
		if _, twice := elements[path]; twice {
			return nil, nil, false
		}
		elements[path] = e
		order = append(order, path)
	}
	return elements, order, true
}

// elementPath returns the path of the element e of the list p.
func elementPath(p Path, e reflect.Value, key string) Path {
	if key == "" {
		return p.key(e.String())
	}
	names := []string{key}
	if further, ok := furtherKeys[key]; ok {
		names = append(names, further)
	}
	values := make([]any, len(names))
	for i, name := range names {
		values[i] = scalar(fieldByJSONName(e, name))
	}
	return p.element(names, values)
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
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		return tag == name
	})
}
