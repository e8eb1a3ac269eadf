// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

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

// BenchmarkGate measures the time that the gate adds to an update, by the size of the Job: with the
// fast path, with the evaluation of paths, and for denied updates including their errors.
func BenchmarkGate(b *testing.B) {
	gate := newGate(policy("granted", v1alpha1.Allow, "spec.template.spec.nodeSelector"))
	for _, tc := range []struct {
		name   string
		send   jobChange
		denied int // at least
	}{
		{"allowed", parallelism(3), 0},
		{"granted", func(j *batch.Job) { j.Spec.Template.Spec.NodeSelector = map[string]string{"disk": "ssd"} }, 0},
		{"denied", image("x"), 1},
		{"denied-template", func(j *batch.Job) { j.Spec.Template = core.PodTemplateSpec{} }, 4},
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
					strategy := NewStrategy(gate)
					strategy.evaluate(ctx, new, old)
					errs := strategy.denials(ctx, new)
					if len(errs) < tc.denied || tc.denied == 0 && len(errs) > 0 {
						b.Fatal(errs)
					}
				}
			})
		}
	}
}

// withContainers sets the number of containers, and of environment variables in each.
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

// BenchmarkValidateUpdate measures an update between decoding and storing it.
func BenchmarkValidateUpdate(b *testing.B) {
	for _, tc := range []struct {
		name     string
		strategy func() rest.RESTUpdateStrategy
		send     jobChange
		allowed  bool
	}{
		{"upstream", func() rest.RESTUpdateStrategy { return upstream.Strategy }, parallelism(3), true},
		{"allowed", func() rest.RESTUpdateStrategy { return NewStrategy(bootstrapGate) }, parallelism(3), true},
		{"denied", func() rest.RESTUpdateStrategy { return NewStrategy(bootstrapGate) }, image("x"), false},
	} {
		b.Run(tc.name, func(b *testing.B) {
			old := storedJob(b)
			ctx := requestContext("alice", &recorder{})
			b.ReportAllocs()
			for b.Loop() {
				sent := old.DeepCopy()
				tc.send(sent)
				if err := rest.BeforeUpdate(tc.strategy(), ctx, sent, old); (err == nil) != tc.allowed {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPolicies measures an update by the number of policies for other users.
func BenchmarkPolicies(b *testing.B) {
	for _, tc := range []struct {
		name    string
		send    jobChange
		allowed bool
	}{
		{"allowed", parallelism(3), true},
		{"granted", func(j *batch.Job) { j.Annotations = map[string]string{"example.com/a": "b"} }, true},
		{"denied", image("x"), false},
	} {
		for _, n := range []int{1, 10, 100, 1000} {
			others := []*v1alpha1.JobUpdatePolicy{policy("granted", v1alpha1.Allow, `metadata.annotations["example.com/*"]`)}
			for i := range n {
				p := policy(fmt.Sprintf("other-%d", i), v1alpha1.Allow, "spec.suspend")
				p.Spec.Subjects = []rbacv1.Subject{{Kind: rbacv1.UserKind, Name: p.Name}}
				others = append(others, p)
			}
			gate := newGate(others...)
			b.Run(fmt.Sprintf("update=%s/policies=%d", tc.name, n), func(b *testing.B) {
				old := storedJob(b)
				ctx := requestContext("alice", &recorder{})
				b.ReportAllocs()
				for b.Loop() {
					sent := old.DeepCopy()
					tc.send(sent)
					if err := rest.BeforeUpdate(NewStrategy(gate), ctx, sent, old); (err == nil) != tc.allowed {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
