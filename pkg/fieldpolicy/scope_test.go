package fieldpolicy

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
)

// The work for an update must not grow with the policies that have nothing to do with it, nor
// with those that grant the same. How much memory is taken is counted, since that is the same on
// every machine.
func TestMorePoliciesCostNothing(t *testing.T) {
	for name, another := range map[string]func(i int) *v1alpha1.JobUpdatePolicy{
		"for others": func(i int) *v1alpha1.JobUpdatePolicy {
			return granting(fmt.Sprintf("p-%d", i), []string{"*"}, to("User", fmt.Sprintf("user-%d", i)), inNamespaces("name", "x"))
		},
		"that grant the same": func(i int) *v1alpha1.JobUpdatePolicy {
			return granting(fmt.Sprintf("p-%d", i), []string{"spec.suspend", "spec.backoffLimit"}, inNamespaces("name", "here"))
		},
	} {
		allocations := func(others int, send func(*batchv1.Job)) float64 {
			policies := Bootstrap()
			for i := range others {
				policies = append(policies, another(i))
			}
			s := compiled(t, policies...)
			new, old := update(t, send)
			newV1, oldV1 := v1Job(t, new), v1Job(t, old)
			return testing.AllocsPerRun(20, func() {
				if _, allowed := s.Keep(new, old, anyone); !allowed {
					s.Judge(newV1, oldV1, anyone, labels.Set{"name": "here"})
				}
			})
		}
		for update, send := range map[string]func(*batchv1.Job){
			"allowed":            func(j *batchv1.Job) { j.Labels["app"] = "x" },
			"refused":            func(j *batchv1.Job) { j.Annotations["a"] = "b" },
			"of what some grant": func(j *batchv1.Job) { suspend(j); j.Spec.BackoffLimit = nil },
		} {
			few, many := allocations(1, send), allocations(1000, send)
			if diff := many - few; diff > 2 || diff < -2 {
				t.Errorf("policies %s, update %s: %v allocations with one policy, %v with a thousand", name, update, few, many)
			}
		}
	}
}

func TestPolicyOfManySubjectsIsOneOfEach(t *testing.T) {
	user := User{Name: "alice"}
	p := granting("p", []string{"spec.suspend", "spec.backoffLimit"}, inNamespaces("name", "here"))
	for i := range 100 {
		user.Groups = append(user.Groups, fmt.Sprintf("group-%d", i))
		to("Group", user.Groups[i])(&p.Spec)
	}
	s := compiled(t, p)
	if first, last := s.groups["group-0"].scopes[0], s.groups["group-99"].scopes[0]; first != last {
		t.Error("two subjects have copies of what one policy grants")
	}
	_, old := update(t, suspend)
	if fields := s.applicable(user, v1Job(t, old), labels.Set{"name": "here"}); len(fields) != len(p.Spec.Fields) {
		t.Errorf("%d fields are looked at for a user of all groups, want %d", len(fields), len(p.Spec.Fields))
	}
}

// Verdicts share the lists of policies with the Snapshot.
func TestVerdictDoesNotChangeAnother(t *testing.T) {
	var policies []*v1alpha1.JobUpdatePolicy
	for _, name := range []string{"c", "d", "e"} {
		policies = append(policies, granting(name, []string{"spec.suspend"}))
	}
	policies = append(policies, granting("a", []string{"spec.suspend"}, ofJobs("app", "render")))
	s := compiled(t, policies...)
	judge := func(app string) []string {
		new, old := update(t, suspend)
		newV1, oldV1 := v1Job(t, new), v1Job(t, old)
		newV1.Labels, oldV1.Labels = map[string]string{"app": app}, map[string]string{"app": app}
		return s.Judge(newV1, oldV1, anyone, labels.Set{}).Changes[0].Policies
	}
	first := judge("other")
	_ = append(first, "z")
	for range 2 {
		if diff := cmp.Diff([]string{"a", "c", "d", "e"}, judge("render")); diff != "" {
			t.Errorf("four policies grant it (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"c", "d", "e"}, judge("other")); diff != "" {
			t.Errorf("three policies grant it (-want +got):\n%s", diff)
		}
	}
	if diff := cmp.Diff([]string{"c", "d", "e"}, first); diff != "" {
		t.Errorf("the first verdict has changed (-want +got):\n%s", diff)
	}
	if all := first[:cap(first)]; len(all) > 3 {
		t.Errorf("an append to the first verdict changes the Snapshot: %q", all)
	}
}
