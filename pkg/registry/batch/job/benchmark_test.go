package job

import (
	"fmt"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/kubernetes/pkg/apis/batch"
	upstream "k8s.io/kubernetes/pkg/registry/batch/job"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
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

// BenchmarkPolicies is the whole of an update by the number of policies that are for others.
func BenchmarkPolicies(b *testing.B) {
	for _, tc := range []struct {
		name    string
		send    jobChange
		allowed bool
	}{
		{"allowed", parallelism(3), true},
		{"granted", func(j *batch.Job) { j.Annotations = map[string]string{"example.com/a": "b"} }, true},
		{"refused", image("x"), false},
	} {
		for _, n := range []int{1, 10, 100, 1000} {
			others := []*v1alpha1.JobUpdatePolicy{policy("granted", v1alpha1.Allow, `metadata.annotations["example.com/*"]`)}
			for i := range n {
				p := policy(fmt.Sprintf("other-%d", i), v1alpha1.Allow, "spec.suspend")
				p.Spec.Subjects = []rbacv1.Subject{{Kind: rbacv1.UserKind, Name: p.Name}}
				others = append(others, p)
			}
			strategy := NewStrategy(gateOf(policies(others...)))
			b.Run(fmt.Sprintf("update=%s/policies=%d", tc.name, n), func(b *testing.B) {
				old := storedJob(b)
				ctx := requestContext("alice", &recorder{})
				b.ReportAllocs()
				for b.Loop() {
					sent := old.DeepCopy()
					tc.send(sent)
					if err := rest.BeforeUpdate(strategy, ctx, sent, old); (err == nil) != tc.allowed {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
