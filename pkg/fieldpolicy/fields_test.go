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
)

func TestTablesNameFieldsOfAJobInOrder(t *testing.T) {
	tables := map[string][]string{"serverOwned": serverOwned}
	for _, w := range wholes {
		tables["wholes"] = append(tables["wholes"], w.path)
	}
	for _, p := range Bootstrap() {
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

// updatable is the allow-list, as the specification lists it.
var updatable = []string{"metadata.labels", "spec.completions", "spec.parallelism", "spec.selector"}

// TestEveryFieldIsAllowedOrNamed changes each field of a Job in which all of them are set,
// one at a time: to another value, and to none. What the paths must be is read from
// upstream's OpenAPI, so that a field that a new version of Kubernetes adds is tested too.
func TestEveryFieldIsAllowedOrNamed(t *testing.T) {
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
		want := slices.DeleteFunc(slices.Clone(change.paths), func(p Path) bool {
			return p.within(updatable) || p.within(serverOwned)
		})
		if len(want) == 0 {
			allowed++
		}
		for _, path := range want {
			if field, err := ParseField(string(path)); err != nil || field.String() != string(path) {
				t.Errorf("%s can be refused and not be granted: %v", path, err)
			}
		}
		if diff := cmp.Diff(want, verdict(t, new, old, anyone), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("after a change of %s (-want +got):\n%s", change.paths, diff)
		}
	}
	if refused := len(w.changes) - allowed; allowed < 20 || refused < 1000 {
		t.Errorf("%d fields are allowed and %d refused: that is not a whole Job", allowed, refused)
	}
}

// change is one change of a Job, and the paths it is named by.
type change struct {
	paths []Path
	apply func() (undo func())
}

// walker lists the changes of a value whose fields are all set.
type walker struct {
	t       *testing.T
	changes []change
}

// walk lists the changes at and below v, which is named p. Where whole is set, v is part of
// a list that is replaced as a whole, and p is the name of that list.
func (w *walker) walk(p Path, v reflect.Value, s spec.Schema, whole bool) {
	s = resolved(s)
	switch kind := v.Kind(); {
	case isLeaf(v.Type()):
		w.add(v, leafValues(v.Type())[1], p)
	case kind == reflect.Pointer:
		w.add(v, reflect.Zero(v.Type()), p)
		w.walk(p, v.Elem(), s, whole)
	case kind == reflect.Struct:
		w.fields(p, v, s, whole, nil)
	case kind == reflect.Map:
		w.entry(p, v, whole)
	case kind == reflect.Slice:
		w.list(p, v, s, whole)
	default:
		w.add(v, leafValues(v.Type())[1], p)
	}
}

// fields walks the fields of a struct, except those that are its keys.
func (w *walker) fields(p Path, v reflect.Value, s spec.Schema, whole bool, keys []string) {
	for _, f := range apiFields(v.Type()) {
		child := p + "." + Path(jsonName(f))
		if whole {
			child = p
		}
		if !slices.Contains(keys, jsonName(f)) {
			w.walk(child, v.FieldByIndex(f.Index), propertyOf(w.t, v.Type(), s, f), whole)
		}
	}
}

// entry removes and changes the one entry of a map.
func (w *walker) entry(p Path, v reflect.Value, whole bool) {
	key := v.MapKeys()[0]
	if !whole {
		p += elementName(nil, key)
	}
	w.add(v, reflect.Zero(v.Type()), p)
	changed := reflect.MakeMap(v.Type())
	changed.SetMapIndex(key, leafValues(v.Type().Elem())[1])
	w.add(v, changed, p)
}

// list removes and changes the one element of a list.
func (w *walker) list(p Path, v reflect.Value, s spec.Schema, whole bool) {
	element := v.Index(0)
	keys, identity := listKeys(s)
	if whole || !identity {
		w.add(v, reflect.Zero(v.Type()), p)
		w.walk(p, element, *s.Items.Schema, true)
		return
	}
	name := p + elementName(keys, element)
	w.add(v, reflect.Zero(v.Type()), name)
	// Another key is another element: one removed, one added.
	rename := func(v reflect.Value) {
		undo := set(v, leafValues(v.Type())[1])()
		renamed := p + elementName(keys, element)
		undo()
		w.add(v, leafValues(v.Type())[1], name, renamed)
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

func (w *walker) add(v, to reflect.Value, paths ...Path) {
	w.changes = append(w.changes, change{paths: paths, apply: set(v, to)})
}

// set returns a function that sets v, and returns another that undoes it.
func set(v, to reflect.Value) func() (undo func()) {
	return func() func() {
		was := reflect.ValueOf(v.Interface())
		v.Set(to)
		return func() { v.Set(was) }
	}
}
