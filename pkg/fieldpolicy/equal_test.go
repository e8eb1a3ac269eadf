package fieldpolicy

import (
	"math/rand"
	"testing"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
)

// It must know every type that a Job can have, and the rules for it.
func TestSemanticEqualAgreesWithAPIMachinery(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewSource(3))
	data := make([]byte, 64)
	equal, different := 0, 0
	for i := range 2000 {
		random.Read(data)
		new, old := diceFrom(data).update(i % 3)
		want := apiequality.Semantic.DeepEqual(&new.Spec, &old.Spec)
		if got := semanticEqual(&new.Spec, &old.Spec); got != want {
			t.Fatalf("update %d: equal=%t, want %t; data %x", i, got, want, data)
		}
		if want {
			equal++
		} else {
			different++
		}
		if spelled := old.DeepCopy(); !semanticEqual(&spelled.Spec, &old.Spec) || !semanticEqual(&spelled.ObjectMeta.Labels, &old.ObjectMeta.Labels) {
			t.Fatalf("update %d: a copy is not equal; data %x", i, data)
		}
	}
	if equal < 100 || different < 100 {
		t.Errorf("%d pairs were equal and %d different: too few of one kind", equal, different)
	}
}
