// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package fieldpolicy

import (
	"math/rand"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/kubernetes/pkg/apis/batch"
)

// FuzzEvaluate checks the guarantees of the gate on random updates. The Job to store for an
// allowed update differs from the stored Job in updatable fields only. A denied update names
// all differences in other fields, and nothing else. data determines the Jobs, and changes how
// much they differ.
func FuzzEvaluate(f *testing.F) {
	random := rand.New(rand.NewSource(1))
	for changes := range byte(6) {
		data := make([]byte, 512)
		random.Read(data)
		f.Add(data, changes)
	}
	f.Add([]byte{}, byte(0))
	f.Add([]byte{}, byte(1))
	f.Fuzz(func(t *testing.T, data []byte, changes byte) {
		new, old := newGenerator(data).update(int(changes % 6))
		checkUpdate(t, new, old, ordinaryUser)
		checkUpdate(t, new, old, garbageCollector)
	})
}

// TestEvaluate_RandomUpdates runs the fuzz target with fixed seeds. It also checks that allowed
// and denied updates are both common.
func TestEvaluate_RandomUpdates(t *testing.T) {
	t.Parallel()
	const updates = 2000
	random := rand.New(rand.NewSource(2))
	data := make([]byte, 64)
	allowed := 0
	for i := range updates {
		random.Read(data)
		new, old := newGenerator(data).update(i % 6)
		if checkUpdate(t, new, old, ordinaryUser) {
			allowed++
		}
		if t.Failed() {
			t.Fatalf("update %d failed; data %x", i, data)
		}
	}
	if allowed < updates/4 || allowed > updates*3/4 {
		t.Errorf("%d of %d random updates are allowed: too few of one kind", allowed, updates)
	}
}

// checkUpdate evaluates an update, compares the Jobs as JSON, and reports whether the update is
// allowed.
func checkUpdate(t *testing.T, new, old *batch.Job, user User) bool {
	t.Helper()
	d := evaluate(t, bootstrap, new, old, user, nil)
	newTree, oldTree := jsonTree(t, v1Job(t, new)), jsonTree(t, v1Job(t, old))

	if d.Outcome == Allow {
		storeTree := jsonTree(t, v1Job(t, d.Job))
		for _, p := range slices.Concat(jsonUpdatable(user), []string{"status"}) {
			removeAll(t, p, storeTree, oldTree)
		}
		if !reflect.DeepEqual(oldTree, storeTree) {
			t.Errorf("an allowed update changes other fields than the updatable ones (-stored +to store):\n%s", cmp.Diff(oldTree, storeTree))
		}
		return true
	}
	denied := texts(d.DeniedPaths())

	if !slices.IsSorted(denied) || len(slices.Compact(slices.Clone(denied))) != len(denied) {
		t.Errorf("the denied paths are not sorted or not unique: %q", denied)
	}
	for _, p := range denied {
		path, err := steps(p)
		if err != nil {
			t.Errorf("not a path: %v", err)
			continue
		}
		if sent, stored := get(newTree, path), get(oldTree, path); reflect.DeepEqual(sent, stored) {
			t.Errorf("%s is denied but does not differ: %v", p, sent)
		}
	}
	// Remove longer paths first, since they may lie below shorter ones.
	for _, p := range slices.Backward(denied) {
		removeAll(t, p, newTree, oldTree)
	}
	for _, p := range slices.Concat(jsonUpdatable(user), jsonServerOwned, []string{"status"}) {
		removeAll(t, p, newTree, oldTree)
	}
	if sent, stored := compact(newTree), compact(oldTree); !reflect.DeepEqual(sent, stored) {
		t.Errorf("a denied update has a difference that is not among the denied paths %q (-stored +sent):\n%s", denied, cmp.Diff(stored, sent))
	}
	return false
}

// jsonUpdatable returns the fields that the specification lets the user change.
func jsonUpdatable(user User) []string {
	updatable := []string{
		"metadata.labels", "spec.completions", "spec.parallelism", "spec.selector",
		// The registry checks or sets these.
		"metadata.name", "metadata.namespace", "metadata.uid", "metadata.resourceVersion",
		"metadata.generation", "metadata.managedFields",
	}
	if user.Name == garbageCollector.Name {
		updatable = append(updatable, "metadata.finalizers", "metadata.ownerReferences")
	}
	return updatable
}

// jsonServerOwned may be sent with any value and keep their stored value.
var jsonServerOwned = []string{
	"metadata.creationTimestamp", "metadata.deletionGracePeriodSeconds", "metadata.deletionTimestamp", "metadata.selfLink",
}

func removeAll(t *testing.T, p string, from ...tree) {
	t.Helper()
	path, err := steps(p)
	if err != nil {
		t.Fatal(err)
	}
	for _, node := range from {
		without(node, path)
	}
}
