package fieldpolicy

import (
	"math/rand"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/kubernetes/pkg/apis/batch"
)

// FuzzKeep checks the promise of the gate on random updates: what it lets through differs
// from the stored Job in allowed fields only, and what it refuses is named, all of it and
// nothing else. data makes the Jobs, changes says how they differ.
func FuzzKeep(f *testing.F) {
	random := rand.New(rand.NewSource(1))
	for changes := range byte(6) {
		data := make([]byte, 512)
		random.Read(data)
		f.Add(data, changes)
	}
	f.Add([]byte{}, byte(0))
	f.Add([]byte{}, byte(1))
	f.Fuzz(func(t *testing.T, data []byte, changes byte) {
		new, old := diceFrom(data).update(int(changes % 6))
		checkUpdate(t, new, old, anyone)
		checkUpdate(t, new, old, collector)
	})
}

// TestKeepHoldsForRandomUpdates is the fuzz target with fixed seeds. It also checks that
// the random updates are worth it: both verdicts must be common.
func TestKeepHoldsForRandomUpdates(t *testing.T) {
	t.Parallel()
	const updates = 2000
	random := rand.New(rand.NewSource(2))
	data := make([]byte, 64)
	allowed := 0
	for i := range updates {
		random.Read(data)
		new, old := diceFrom(data).update(i % 6)
		if checkUpdate(t, new, old, anyone) {
			allowed++
		}
		if t.Failed() {
			t.Fatalf("update %d is not as expected; data %x", i, data)
		}
	}
	if allowed < updates/4 || allowed > updates*3/4 {
		t.Errorf("%d of %d random updates were allowed: too few of one kind", allowed, updates)
	}
}

// checkUpdate reports whether Keep allows the update, and checks both answers by JSON.
func checkUpdate(t *testing.T, new, old *batch.Job, user User) bool {
	t.Helper()
	refused := verdict(t, new, old, user)
	newTree, oldTree := jsonTree(t, v1Job(t, new)), jsonTree(t, v1Job(t, old))

	if kept, allowed := bootstrap.Keep(new, old, user); allowed {
		keptTree := jsonTree(t, v1Job(t, kept))
		for _, p := range slices.Concat(jsonAllowed(user), []string{"status"}) {
			removeAll(t, p, keptTree, oldTree)
		}
		if !reflect.DeepEqual(oldTree, keptTree) {
			t.Errorf("an allowed update changes what may not change (-stored +kept):\n%s", cmp.Diff(oldTree, keptTree))
		}
		return true
	}

	if !slices.IsSorted(refused) || len(slices.Compact(slices.Clone(refused))) != len(refused) {
		t.Errorf("the paths are not sorted, or not unique: %q", refused)
	}
	for _, p := range refused {
		path, err := steps(p)
		if err != nil {
			t.Errorf("not a path: %v", err)
			continue
		}
		if is, was := get(newTree, path), get(oldTree, path); reflect.DeepEqual(is, was) {
			t.Errorf("%s is named, and does not differ: %v", p, is)
		}
	}
	// Longer paths first: removing an element must not hide what is in it, nor a list its
	// elements.
	for _, p := range slices.Backward(refused) {
		removeAll(t, string(p), newTree, oldTree)
	}
	for _, p := range slices.Concat(jsonAllowed(user), jsonServerOwned, []string{"status"}) {
		removeAll(t, p, newTree, oldTree)
	}
	if is, was := compact(newTree), compact(oldTree); !reflect.DeepEqual(is, was) {
		t.Errorf("a refused update has a difference that is not named (-stored +sent):\n%s\nnamed: %q", cmp.Diff(was, is), refused)
	}
	return false
}

// jsonAllowed returns the fields that the user may change, as the specification lists them.
func jsonAllowed(user User) []string {
	allowed := []string{
		"metadata.labels", "spec.completions", "spec.parallelism", "spec.selector",
		// Left to the registry, which checks or fills them in.
		"metadata.name", "metadata.namespace", "metadata.uid", "metadata.resourceVersion",
		"metadata.generation", "metadata.managedFields",
	}
	if user.Name == collector.Name {
		allowed = append(allowed, "metadata.finalizers", "metadata.ownerReferences")
	}
	return allowed
}

// jsonServerOwned may be sent with any value, and keep the stored one.
var jsonServerOwned = []string{
	"metadata.creationTimestamp", "metadata.deletionGracePeriodSeconds", "metadata.deletionTimestamp", "metadata.selfLink",
}

func removeAll(t *testing.T, p string, from ...tree) {
	t.Helper()
	path, err := steps(Path(p))
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range from {
		without(node, path)
	}
}
