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

// compareStructurally compares Jobs as server-side apply does.
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

// TestStructuredMergeDiffWouldNotDoAsTheEngine says why the engine compares by itself.
func TestStructuredMergeDiffWouldNotDoAsTheEngine(t *testing.T) {
	for name, tc := range map[string]struct {
		change   func(*batchv1.Job)
		seen     bool
		refusals int
	}{
		"it does not see the order of containers, which decides about the default container": {
			change:   func(j *batchv1.Job) { slices.Reverse(podSpec(j).Containers) },
			refusals: 1,
		},
		"it does not see the order of init containers, which is the order they run in": {
			change:   func(j *batchv1.Job) { slices.Reverse(podSpec(j).InitContainers) },
			refusals: 1,
		},
		"it takes another spelling of a quantity for a change": {
			change: func(j *batchv1.Job) {
				mainContainer(j).Resources.Requests[corev1.ResourceMemory] = resource.MustParse("1073741824")
			},
			seen: true,
		},
		"it sees what the engine sees otherwise": {
			change:   func(j *batchv1.Job) { mainContainer(j).Image = "x" },
			seen:     true,
			refusals: 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			old := storedJob(t)
			new := old.DeepCopy()
			tc.change(new)
			if seen := !compareStructurally(t, new, old).IsSame(); seen != tc.seen {
				t.Errorf("structured-merge-diff sees a change: %t, want %t", seen, tc.seen)
			}
			if refused := bootstrap.Judge(new, old, anyone, nil).Refused(); len(refused) != tc.refusals {
				t.Errorf("the engine names %q, want %d of them", refused, tc.refusals)
			}
		})
	}
}

// TestJudgeCoversWhatStructuredMergeDiffSees compares the engine with upstream's on
// random updates, for all that both can see.
func TestJudgeCoversWhatStructuredMergeDiffSees(t *testing.T) {
	t.Parallel()
	const updates = 600
	random := rand.New(rand.NewSource(3))
	data := make([]byte, 64)
	seen := 0
	for i := range updates {
		random.Read(data)
		newJob, oldJob := diceFrom(data).update(i % 6)
		new, old := v1Job(t, newJob), v1Job(t, oldJob)
		refused := verdict(t, newJob, oldJob, anyone)
		named := make([]string, len(refused))
		for i, p := range refused {
			path, err := steps(p)
			if err != nil {
				t.Fatal(err)
			}
			named[i] = stepsKey(path)
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
				if key := stepsKey(at); !slices.ContainsFunc(named, func(n string) bool { return related(n, key) }) {
					t.Errorf("structured-merge-diff sees a change of %s, Judge refuses %q; data %x", path, refused, data)
				}
			}
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	if seen < 10*updates {
		t.Errorf("%d updates had %d differences: too few to compare by", updates, seen)
	}
}

// gated reports whether only the garbage collector, or nobody, may change what is at path.
func gated(path []treeStep) bool {
	top := path[0].name
	if top == "status" || len(path) < 2 {
		return false // metadata and spec themselves are always there
	}
	return !slices.Contains(slices.Concat(jsonAllowed(anyone), jsonServerOwned), top+"."+path[1].name)
}

// isEmpty reports whether node is a list without elements, in either form.
func isEmpty(node any) bool {
	list, ok := node.([]any)
	return node == nil || ok && len(list) == 0
}

// related reports whether one path is the other, or lies below it.
func related(a, b string) bool {
	return strings.HasPrefix(a, b) || strings.HasPrefix(b, a)
}

// stepsKey returns a path in a form in which a prefix is a parent.
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

// stepsOf returns the steps of structured-merge-diff's path.
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
			t.Fatalf("%s has an index, which identifies nothing", path)
		}
	}
	return result
}
