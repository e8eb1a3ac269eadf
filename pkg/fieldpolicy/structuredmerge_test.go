// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package fieldpolicy

import (
	"encoding/json"
	"maps"
	"math/rand"
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/typed"
)

var converter = applyconfigurations.NewTypeConverter(legacyscheme.Scheme)

// compareStructurally compares Jobs like server-side apply.
func compareStructurally(t *testing.T, new, old *batchv1.Job) *typed.Comparison {
	t.Helper()
	var values [2]*typed.TypedValue
	for i, job := range []*batchv1.Job{old, new} {
		job = job.DeepCopy()
		job.SetGroupVersionKind(batchv1.SchemeGroupVersion.WithKind("Job"))
		value, err := converter.ObjectToTyped(job, typed.AllowDuplicates)
		if err != nil {
			t.Fatal(err)
		}
		values[i] = value
	}
	comparison, err := values[0].Compare(values[1])
	if err != nil {
		t.Fatal(err)
	}
	return comparison
}

// TestCompare_UnlikeStructuredMergeDiff shows why compare does not use structured-merge-diff.
func TestCompare_UnlikeStructuredMergeDiff(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*batchv1.Job)
		seen   bool // by structured-merge-diff
		denied int  // number of paths
	}{
		"order of containers determines the default container": {
			change: func(j *batchv1.Job) { slices.Reverse(podSpec(j).Containers) },
			denied: 1,
		},
		"order of init containers is the order in which they run": {
			change: func(j *batchv1.Job) { slices.Reverse(podSpec(j).InitContainers) },
			denied: 1,
		},
		"reformatted quantity is not a change": {
			change: func(j *batchv1.Job) {
				mainContainer(j).Resources.Requests[corev1.ResourceMemory] = resource.MustParse("1073741824")
			},
			seen: true,
		},
		"image": {
			change: func(j *batchv1.Job) { mainContainer(j).Image = "x" },
			seen:   true,
			denied: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			old := storedJob(t)
			new := old.DeepCopy()
			tc.change(new)
			if seen := !compareStructurally(t, new, old).IsSame(); seen != tc.seen {
				t.Errorf("structured-merge-diff sees a change: %t, want %t", seen, tc.seen)
			}
			if denied := deniedPaths(t, internalJob(t, new), internalJob(t, old), ordinaryUser); len(denied) != tc.denied {
				t.Errorf("denied paths %q, want %d", denied, tc.denied)
			}
		})
	}
}

// TestCompare_FindsWhatStructuredMergeDiffFinds compares random updates.
func TestCompare_FindsWhatStructuredMergeDiffFinds(t *testing.T) {
	t.Parallel()
	const updates = 600
	random := rand.New(rand.NewSource(3))
	data := make([]byte, 64)
	seen := 0
	for i := range updates {
		random.Read(data)
		newJob, oldJob := newGenerator(data).update(i % 6)
		new, old := v1Job(t, newJob), v1Job(t, oldJob)
		denied := deniedPaths(t, newJob, oldJob, ordinaryUser)
		keys := make([]string, len(denied))
		for i, p := range denied {
			path, err := steps(p)
			if err != nil {
				t.Fatal(err)
			}
			keys[i] = stepsKey(path)
		}
		newTree, oldTree := jsonTree(t, new), jsonTree(t, old)
		comparison := compareStructurally(t, new, old)
		for _, set := range []*fieldpath.Set{comparison.Added, comparison.Modified, comparison.Removed} {
			for path := range set.All() {
				at := stepsOf(t, path)
				if !gated(at) || isEmpty(get(newTree, at)) && isEmpty(get(oldTree, at)) {
					continue
				}
				seen++
				if key := stepsKey(at); !slices.ContainsFunc(keys, func(n string) bool { return related(n, key) }) {
					t.Errorf("structured-merge-diff finds a change of %s, which is not among the denied paths %q; data %x", path, denied, data)
				}
			}
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	if seen < 10*updates {
		t.Errorf("%d updates have only %d differences", updates, seen)
	}
}

// gated reports whether the gate denies ordinary users a change of the value at path.
func gated(path []treeStep) bool {
	top := path[0].name
	if top == "status" || len(path) < 2 {
		return false // metadata and spec always exist
	}
	return !slices.Contains(slices.Concat(jsonUpdatable(ordinaryUser), jsonServerOwned), top+"."+path[1].name)
}

// isEmpty reports whether node is an empty list or nil.
func isEmpty(node any) bool {
	list, ok := node.([]any)
	return node == nil || ok && len(list) == 0
}

// related reports whether the paths are equal or one lies below the other.
func related(a, b string) bool {
	return strings.HasPrefix(a, b) || strings.HasPrefix(b, a)
}

// stepsKey encodes a path so that each prefix is the path of a parent.
func stepsKey(path []treeStep) string {
	var b strings.Builder
	for _, s := range path {
		b.WriteString("\x00" + s.name)
		for _, name := range slices.Sorted(maps.Keys(s.keys)) {
			b.WriteString("\x01" + name + "=" + s.keys[name])
		}
		b.WriteString("\x00")
	}
	return b.String()
}

// stepsOf converts a path of structured-merge-diff.
func stepsOf(t *testing.T, path fieldpath.Path) []treeStep {
	t.Helper()
	result := make([]treeStep, len(path))
	for i, element := range path {
		switch {
		case element.FieldName != nil:
			result[i].name = *element.FieldName
		case element.Key != nil:
			result[i].keys = map[string]string{}
			for _, field := range *element.Key {
				encoded, err := json.Marshal(field.Value.Unstructured())
				if err != nil {
					t.Fatal(err)
				}
				result[i].keys[field.Name] = string(encoded)
			}
		case element.Value != nil:
			result[i].name = (*element.Value).AsString()
		default:
			t.Fatalf("%s contains an index", path)
		}
	}
	return result
}
