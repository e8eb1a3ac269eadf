// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package fieldpolicy

import (
	"maps"
	"math/rand"
	"testing"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
)

func TestEqual_MatchesSemanticDeepEqual(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewSource(3))
	data := make([]byte, 64)
	equal, different := 0, 0
	for i := range 2000 {
		random.Read(data)
		new, old := newGenerator(data).update(i % 3)
		want := apiequality.Semantic.DeepEqual(&new.Spec, &old.Spec)
		if got := equalJobSpec(&new.Spec, &old.Spec); got != want {
			t.Fatalf("update %d: equal=%t, want %t; data %x", i, got, want, data)
		}
		if want {
			equal++
		} else {
			different++
		}
		owned := apiequality.Semantic.DeepEqual(new.OwnerReferences, old.OwnerReferences)
		if got := equalLists(new.OwnerReferences, old.OwnerReferences, equalOwnerReference); got != owned {
			t.Fatalf("update %d: equal owners=%t, want %t; data %x", i, got, owned, data)
		}
		if copied := old.DeepCopy(); !equalJobSpec(&copied.Spec, &old.Spec) || !maps.Equal(copied.Labels, old.Labels) {
			t.Fatalf("update %d: a copy is not equal; data %x", i, data)
		}
	}
	if equal < 100 || different < 100 {
		t.Errorf("%d pairs are equal and %d differ: too few of one kind", equal, different)
	}
}
