// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package fieldpolicy

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	"github.com/batchgate/batchgate/pkg/controller/jobupdatepolicy/bootstrappolicy"
)

// BenchmarkEvaluate measures an update with the bootstrap policies, one policy that grants
// another change, and a number of other policies: for other users, for everyone in other
// namespaces, or for everyone in the namespace of the Job, alike or different.
func BenchmarkEvaluate(b *testing.B) {
	others := map[string]func(i int) *v1alpha1.JobUpdatePolicy{
		"subjects": func(i int) *v1alpha1.JobUpdatePolicy {
			return policyFor(fmt.Sprintf("other-%d", i), []string{"spec.suspend", "spec.template.spec.nodeSelector"}, to("User", fmt.Sprintf("user-%d", i)))
		},
		"namespaces": func(i int) *v1alpha1.JobUpdatePolicy {
			return policyFor(fmt.Sprintf("other-%d", i), []string{"spec.suspend", "spec.template.spec.nodeSelector"}, inNamespaces("name", fmt.Sprintf("ns-%d", i)))
		},
		"here": func(i int) *v1alpha1.JobUpdatePolicy {
			return policyFor(fmt.Sprintf("other-%d", i), []string{"spec.suspend", "metadata.annotations"}, inNamespaces("name", "here"))
		},
		// Each has another selector that matches, and the maximum number of fields.
		"different": func(i int) *v1alpha1.JobUpdatePolicy {
			fields := make([]string, 256)
			for j := range fields {
				fields[j] = fmt.Sprintf(`metadata.annotations["team-%d.example.com/%d"]`, i, j)
			}
			return policyFor(fmt.Sprintf("other-%d", i), fields, inNamespaces("name", "here"), func(spec *v1alpha1.JobUpdatePolicySpec) {
				spec.JobSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
					{Key: "team", Operator: metav1.LabelSelectorOpNotIn, Values: []string{fmt.Sprint(i)}},
				}}
			})
		},
	}
	grant := policyFor("grant", []string{`metadata.annotations["example.com/*"]`}, to("Group", "dev"))
	user := User{Name: "alice", Groups: []string{"dev", "system:authenticated"}}
	namespace := labels.Set{"name": "here"}
	for _, tc := range []struct {
		name   string
		change func(*batchv1.Job)
		want   Outcome
	}{
		{"allowed", func(j *batchv1.Job) { j.Labels["app"] = "x" }, Allow},
		{"granted", func(j *batchv1.Job) { j.Annotations["example.com/ticket"] = "x" }, Allow},
		{"denied", func(j *batchv1.Job) { podSpec(j).Containers[1].Image = "x" }, Deny},
	} {
		for _, kind := range slices.Sorted(maps.Keys(others)) {
			for _, n := range []int{1, 10, 100, 1000} {
				policies := append(bootstrappolicy.Policies(), grant)
				for i := range n {
					policies = append(policies, others[kind](i))
				}
				s := compiled(b, policies...)
				new, old := update(b, tc.change)
				b.Run(fmt.Sprintf("update=%s/others=%s/policies=%d", tc.name, kind, n), func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						d, err := s.Evaluate(new, old, user, knownLabels(namespace))
						if err != nil || d.Outcome != tc.want {
							b.Fatalf("decision %+v, error %v; want %s", d, err, tc.want)
						}
					}
				})
			}
		}
	}
}
