// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package fieldpolicy

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	"github.com/batchgate/batchgate/pkg/controller/jobupdatepolicy/bootstrappolicy"
)

// TestEvaluate_CostOfPolicies checks that an update does not become more expensive with more policies
// that do not match it, or that all grant the same fields. It counts allocations, which are the same on
// every machine.
func TestEvaluate_CostOfPolicies(t *testing.T) {
	for name, newPolicy := range map[string]func(i int) *v1alpha1.JobUpdatePolicy{
		"policies for other users": func(i int) *v1alpha1.JobUpdatePolicy {
			return policyFor(fmt.Sprintf("p-%d", i), []string{"*"}, to("User", fmt.Sprintf("user-%d", i)), inNamespaces("name", "x"))
		},
		"policies with the same grants": func(i int) *v1alpha1.JobUpdatePolicy {
			return policyFor(fmt.Sprintf("p-%d", i), []string{"spec.suspend", "spec.backoffLimit"}, inNamespaces("name", "here"))
		},
	} {
		allocations := func(policyCount int, send func(*batchv1.Job)) float64 {
			policies := bootstrappolicy.Policies()
			for i := range policyCount {
				policies = append(policies, newPolicy(i))
			}
			s := compiled(t, policies...)
			new, old := update(t, send)
			return testing.AllocsPerRun(20, func() {
				if _, err := s.Evaluate(new, old, ordinaryUser, knownLabels(labels.Set{"name": "here"})); err != nil {
					t.Fatal(err)
				}
			})
		}
		for update, send := range map[string]func(*batchv1.Job){
			"allowed update": func(j *batchv1.Job) { j.Labels["app"] = "x" },
			"denied update":  func(j *batchv1.Job) { j.Annotations["a"] = "b" },
			"granted update": func(j *batchv1.Job) { suspend(j); j.Spec.BackoffLimit = nil },
		} {
			few, many := allocations(1, send), allocations(1000, send)
			if diff := many - few; diff > 2 || diff < -2 {
				t.Errorf("%s, %s: %v allocations with 1 policy, %v with 1000", name, update, few, many)
			}
		}
	}
}

func TestCompile_SubjectsShareRules(t *testing.T) {
	user := User{Name: "alice"}
	p := policyFor("p", []string{"spec.suspend", "spec.backoffLimit"}, inNamespaces("name", "here"))
	for i := range 100 {
		user.Groups = append(user.Groups, fmt.Sprintf("group-%d", i))
		to("Group", user.Groups[i])(&p.Spec)
	}
	s := compiled(t, p)
	if first, last := s.groups["group-0"].rules[0], s.groups["group-99"].rules[0]; first != last {
		t.Error("the subjects of one policy do not share its rule")
	}
	_, old := update(t, suspend)
	if rules := s.rulesFor(user, old.Labels, knownLabels(labels.Set{"name": "here"})); len(rules.candidates) != 1 || !rules.has(rules.candidates[0]) {
		t.Errorf("the rules of a user of all groups are %v, want one", rules)
	}
}

// Decisions share lists of policy names with the Snapshot.
func TestEvaluate_DecisionsAreIndependent(t *testing.T) {
	var policies []*v1alpha1.JobUpdatePolicy
	for _, name := range []string{"c", "d", "e"} {
		policies = append(policies, policyFor(name, []string{"spec.suspend"}, inNamespaces("name", "here")))
	}
	policies = append(policies, policyFor("a", []string{"spec.suspend"}, inNamespaces("name", "here"), ofJobs("app", "render")))
	s := compiled(t, policies...)
	grantingPolicies := func(app string) []string {
		new, old := update(t, suspend)
		new.Labels, old.Labels = map[string]string{"app": app}, map[string]string{"app": app}
		return evaluate(t, s, new, old, ordinaryUser, labels.Set{"name": "here"}).Changes[0].Policies
	}
	first := grantingPolicies("other")
	_ = append(first, "z")
	for range 2 {
		if diff := cmp.Diff([]string{"a", "c", "d", "e"}, grantingPolicies("render")); diff != "" {
			t.Errorf("policies of the selected Job (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"c", "d", "e"}, grantingPolicies("other")); diff != "" {
			t.Errorf("policies of another Job (-want +got):\n%s", diff)
		}
	}
	if diff := cmp.Diff([]string{"c", "d", "e"}, first); diff != "" {
		t.Errorf("the first decision has changed (-want +got):\n%s", diff)
	}
	if all := first[:cap(first)]; len(all) > 3 {
		t.Errorf("an append to the first decision changes the Snapshot: %q", all)
	}
}

// Grants of one policy share the list of its name.
func TestCompile_GrantsNameTheirPolicies(t *testing.T) {
	s := compiled(t,
		policyFor("a", []string{"spec.suspend", "spec.backoffLimit"}),
		policyFor("b", []string{"spec.suspend"}),
		policyFor("c", []string{"spec.backoffLimit"}))
	new, old := update(t, func(j *batchv1.Job) {
		suspend(j)
		j.Spec.BackoffLimit = ptr.To(int32(7))
	})
	got := map[string][]string{}
	for _, change := range evaluate(t, s, new, old, ordinaryUser, nil).Changes {
		got[change.Path.String()] = change.Policies
	}
	if diff := cmp.Diff(map[string][]string{"spec.suspend": {"a", "b"}, "spec.backoffLimit": {"a", "c"}}, got); diff != "" {
		t.Errorf("policies of each change (-want +got):\n%s", diff)
	}
}
