package job

import (
	"testing"

	"k8s.io/apiserver/pkg/registry/rest"
	upstream "k8s.io/kubernetes/pkg/registry/batch/job"
)

// BenchmarkValidateUpdate is the whole of an update between its decoding and the store.
func BenchmarkValidateUpdate(b *testing.B) {
	for _, tc := range []struct {
		name     string
		strategy rest.RESTUpdateStrategy
		send     jobChange
		allowed  bool
	}{
		{"upstream", upstream.Strategy, parallelism(3), true},
		{"allowed", gated, parallelism(3), true},
		{"refused", gated, image("x"), false},
	} {
		b.Run(tc.name, func(b *testing.B) {
			old := storedJob(b)
			ctx := requestContext("alice", &recorder{})
			b.ReportAllocs()
			for b.Loop() {
				sent := old.DeepCopy()
				tc.send(sent)
				if err := rest.BeforeUpdate(tc.strategy, ctx, sent, old); (err == nil) != tc.allowed {
					b.Fatal(err)
				}
			}
		})
	}
}
