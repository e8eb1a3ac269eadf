package fieldpolicy

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/agnivade/levenshtein"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

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

// identity is how the elements of a list are told apart.
type identity struct {
	// merged is false for lists that are replaced as a whole.
	merged bool
	// keys are the fields that name an element; none where elements are their own names.
	keys []string
}

// describe returns the API name of a struct's field, empty for an inlined struct, and how
// its elements are told apart if it is a list.
func describe(f reflect.StructField) (name string, list identity) {
	name, _, _ = strings.Cut(f.Tag.Get("json"), ",")
	if f.Type.Kind() != reflect.Slice {
		return name, identity{}
	}
	key, merged := untagged[name]
	if !merged {
		key = f.Tag.Get("patchMergeKey")
		merged = strings.Contains(f.Tag.Get("patchStrategy"), "merge")
	}
	if !merged {
		return name, identity{}
	}
	list.merged = true
	if key != "" {
		list.keys = []string{key}
		if further, ok := furtherKeys[key]; ok {
			list.keys = append(list.keys, further)
		}
	}
	return name, list
}

// place is a place in a Job.
type place struct {
	typ  reflect.Type // no pointer
	list identity
}

// root is the place of a whole Job.
var root = place{typ: reflect.TypeFor[batchv1.Job]()}

// into returns the place that a step leads to, and whether there is one.
func (p place) into(s step) (place, bool) {
	switch p.typ.Kind() {
	case reflect.Struct:
		for _, f := range p.fields() {
			if s.kind == stepField && s.text == f.name {
				return f.place, true
			}
		}
	case reflect.Map:
		return element(p.typ), s.kind == stepAny || s.kind == stepKey
	case reflect.Slice:
		switch {
		case !p.list.merged:
			return place{}, false
		case s.kind == stepAny:
			return element(p.typ), true
		case len(p.list.keys) == 0:
			return element(p.typ), s.kind == stepKey
		default:
			return element(p.typ), s.kind == stepElement && element(p.typ).isNamedBy(p.list.keys, s.keys)
		}
	}
	return place{}, false
}

// isNamedBy reports whether the keys that are given are those of the list, of their types.
func (p place) isNamedBy(keys []string, given []elementKey) bool {
	return slices.EqualFunc(keys, given, func(name string, key elementKey) bool {
		value, ok := p.into(step{kind: stepField, text: name})
		return ok && name == key.name && key.isString == (value.typ.Kind() == reflect.String)
	})
}

type namedPlace struct {
	name string
	place
}

// fields returns the fields of a struct, those of inlined structs among them.
func (p place) fields() []namedPlace {
	if p.typ.Kind() != reflect.Struct || slices.Contains(leaves, p.typ) {
		return nil
	}
	var fields []namedPlace
	for i := range p.typ.NumField() {
		f := p.typ.Field(i)
		name, list := describe(f)
		child := place{dereferenced(f.Type), list}
		if name == "" {
			fields = append(fields, child.fields()...)
			continue
		}
		fields = append(fields, namedPlace{name, child})
	}
	return fields
}

// element returns the place of an element of a list or map.
func element(typ reflect.Type) place { return place{typ: dereferenced(typ.Elem())} }

func dereferenced(typ reflect.Type) reflect.Type {
	if typ.Kind() == reflect.Pointer {
		return typ.Elem()
	}
	return typ
}

// checkSteps returns nil if the steps lead to a place that an update can change.
func checkSteps(steps []step) error {
	path := Path(join(steps))
	switch {
	case steps[0].text == "status":
		return fmt.Errorf("%s cannot be granted: it is updated through the status subresource, which the gate leaves to RBAC", path)
	case path.within(serverOwned):
		return fmt.Errorf("%s cannot be granted: the server keeps or checks its value, whatever an update sends", path)
	}
	at := root
	for i, s := range steps {
		if s.kind == stepElement && strings.Contains(s.text, "*") {
			return fmt.Errorf("%s: * stands for nothing in the key of an element; %s[*] are all elements", path, join(steps[:i]))
		}
		if s.kind == stepKey && strings.Contains(strings.TrimSuffix(s.text, `*"]`), "*") {
			return fmt.Errorf("%s: * stands for the rest of a key, and can only be its end", path)
		}
		next, ok := at.into(s)
		if ok && (i > 0 || s.text == "metadata" || s.text == "spec") {
			at = next
			continue
		}
		if i > 0 && at.typ.Kind() == reflect.Slice && !at.list.merged {
			return fmt.Errorf("%s cannot be granted: an update replaces the list as a whole; the nearest field is %s", path, join(steps[:i]))
		}
		return fmt.Errorf("a batch/v1 Job has no field %s; the nearest is %s", path, nearest(path))
	}
	return nil
}

// fieldNames are all paths that can be granted, with [*] for every element and key.
var fieldNames = sync.OnceValue(func() []string {
	var names []string
	var walk func(steps []step, at place)
	walk = func(steps []step, at place) {
		name := join(steps)
		if Path(name).within(serverOwned) {
			return
		}
		names = append(names, name)
		for _, f := range at.fields() {
			walk(append(steps[:len(steps):len(steps)], step{text: f.name}), f.place)
		}
		anyElement := step{kind: stepAny, text: "[*]"}
		if next, ok := at.into(anyElement); ok {
			walk(append(steps[:len(steps):len(steps)], anyElement), next)
		}
	}
	for _, f := range root.fields() {
		if f.name == "metadata" || f.name == "spec" {
			walk([]step{{text: f.name}}, f.place)
		}
	}
	return names
})

var brackets = regexp.MustCompile(`\[[^]]*\]`)

// maxCompared is how much of a path is compared with those that there are.
const maxCompared = 128

// nearest returns the path of fieldNames with the fewest edits to the given one: among
// those that end in the same name, if there are any, for people know that best.
func nearest(path Path) string {
	wanted := brackets.ReplaceAllString(string(path), "[*]")
	candidates := slices.DeleteFunc(slices.Clone(fieldNames()), func(name string) bool { return lastName(name) != lastName(wanted) })
	if len(candidates) == 0 {
		candidates = fieldNames()
	}
	// No name is as long; comparing takes time in proportion.
	wanted = wanted[:min(len(wanted), maxCompared)]
	return slices.MinFunc(candidates, func(a, b string) int {
		return levenshtein.ComputeDistance(a, wanted) - levenshtein.ComputeDistance(b, wanted)
	})
}

func lastName(path string) string { return path[strings.LastIndexByte(path, '.')+1:] }
