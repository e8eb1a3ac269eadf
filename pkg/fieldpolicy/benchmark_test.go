package fieldpolicy

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
)

// BenchmarkPolicies is the work of one update by the number of policies: the bootstrap ones,
// one that grants a further change, and others. These are for other subjects, for everybody in
// other namespaces, or for everybody here.
func BenchmarkPolicies(b *testing.B) {
	others := map[string]func(i int) *v1alpha1.JobUpdatePolicy{
		"subjects": func(i int) *v1alpha1.JobUpdatePolicy {
			return granting(fmt.Sprintf("other-%d", i), []string{"spec.suspend", "spec.template.spec.nodeSelector"}, to("User", fmt.Sprintf("user-%d", i)))
		},
		"namespaces": func(i int) *v1alpha1.JobUpdatePolicy {
			return granting(fmt.Sprintf("other-%d", i), []string{"spec.suspend", "spec.template.spec.nodeSelector"}, inNamespaces("name", fmt.Sprintf("ns-%d", i)))
		},
		"here": func(i int) *v1alpha1.JobUpdatePolicy {
			return granting(fmt.Sprintf("other-%d", i), []string{"spec.suspend", "metadata.annotations"}, inNamespaces("name", "here"))
		},
	}
	grant := granting("grant", []string{`metadata.annotations["example.com/*"]`}, to("Group", "dev"))
	user := User{Name: "alice", Groups: []string{"dev", "system:authenticated"}}
	namespace := labels.Set{"name": "here"}
	for _, tc := range []struct {
		name    string
		change  func(*batchv1.Job)
		refused int
	}{
		{"allowed", func(j *batchv1.Job) { j.Labels["app"] = "x" }, 0},
		{"granted", func(j *batchv1.Job) { j.Annotations["example.com/ticket"] = "x" }, 0},
		{"refused", func(j *batchv1.Job) { podSpec(j).Containers[1].Image = "x" }, 1},
	} {
		for _, kind := range slices.Sorted(maps.Keys(others)) {
			for _, n := range []int{1, 10, 100, 1000} {
				policies := append(Bootstrap(), grant)
				for i := range n {
					policies = append(policies, others[kind](i))
				}
				s := compiled(b, policies...)
				new, old := update(b, tc.change)
				newV1, oldV1 := v1Job(b, new), v1Job(b, old)
				b.Run(fmt.Sprintf("update=%s/others=%s/policies=%d", tc.name, kind, n), func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						if _, allowed := s.Keep(new, old, user); allowed {
							continue
						}
						if got := len(s.Judge(newV1, oldV1, user, namespace).Refused()); got != tc.refused {
							b.Fatalf("%d changes are refused", got)
						}
					}
				})
			}
		}
	}
}
