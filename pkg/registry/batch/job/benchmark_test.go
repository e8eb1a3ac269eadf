package job

import (
	"fmt"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/kubernetes/pkg/apis/batch"
	"k8s.io/kubernetes/pkg/apis/core"
	upstream "k8s.io/kubernetes/pkg/registry/batch/job"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
)

// BenchmarkGate is what the gate adds to an update, by the size of the Job: the question that
// each update asks, the verdict on what is granted in part, and the whole list of a refusal.
func BenchmarkGate(b *testing.B) {
	strategy := NewStrategy(gateOf(policies(policy("granted", v1alpha1.Allow, "spec.template.spec.nodeSelector"))))
	for _, tc := range []struct {
		name    string
		send    jobChange
		refused int
	}{
		{"allowed", parallelism(3), 0},
		{"granted", func(j *batch.Job) { j.Spec.Template.Spec.NodeSelector = map[string]string{"disk": "ssd"} }, 0},
		{"refused", image("x"), 1},
		{"refused-template", func(j *batch.Job) { j.Spec.Template = core.PodTemplateSpec{} }, 4},
	} {
		for _, size := range []struct {
			name            string
			containers, env int
		}{{"small", 1, 0}, {"ordinary", 2, 10}, {"large", 20, 20}} {
			b.Run(fmt.Sprintf("update=%s/job=%s", tc.name, size.name), func(b *testing.B) {
				old := storedJob(b, withContainers(size.containers, size.env))
				sent := old.DeepCopy()
				tc.send(sent)
				ctx := requestContext("alice", &recorder{})
				new := &batch.Job{}
				b.ReportAllocs()
				for b.Loop() {
					*new = *sent
					if refused := strategy.gate.decide(ctx, new, old).refusal(all); len(refused) < tc.refused || tc.refused == 0 && len(refused) > 0 {
						b.Fatal(refused)
					}
				}
			})
		}
	}
}

// withContainers makes a Job have so many containers, each with so many variables.
func withContainers(containers, env int) jobChange {
	return func(j *batch.Job) {
		spec := &j.Spec.Template.Spec
		for i := range env {
			spec.Containers[0].Env = append(spec.Containers[0].Env, core.EnvVar{Name: fmt.Sprintf("VARIABLE_%d", i), Value: "value"})
		}
		for i := 1; i < containers; i++ {
			c := spec.Containers[0].DeepCopy()
			c.Name = fmt.Sprintf("container-%d", i)
			spec.Containers = append(spec.Containers, *c)
		}
	}
}

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
