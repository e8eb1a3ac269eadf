// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package fieldpolicy

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
)

func annotate(n int) func(*batchv1.Job) {
	return func(j *batchv1.Job) {
		for i := range n {
			metav1.SetMetaDataAnnotation(&j.ObjectMeta, fmt.Sprintf("granted-%d", i), "")
		}
	}
}

func TestEvaluate_TooManyChanges(t *testing.T) {
	s := compiled(t, policyFor("p", []string{`metadata.annotations["*"]`, "spec.template.spec"}))
	for name, tc := range map[string]struct {
		send func(*batchv1.Job)
		want string // the denied field, empty if the update is allowed
	}{
		"at the limit":   {annotate(MaxChanges), ""},
		"over the limit": {annotate(MaxChanges + 1), "metadata.annotations"},
		"far over":       {annotate(10 * MaxChanges), "metadata.annotations"},
		"of the Pod template": {func(j *batchv1.Job) {
			for i := range MaxChanges + 1 {
				podSpec(j).Volumes = append(podSpec(j).Volumes, corev1.Volume{Name: fmt.Sprint(i)})
			}
		}, "spec.template.spec.volumes"},
		"in two fields": {func(j *batchv1.Job) { annotate(MaxChanges)(j); podSpec(j).Hostname = "x" }, "spec.template.spec.hostname"},
		"with server-owned metadata": {func(j *batchv1.Job) {
			annotate(MaxChanges)(j)
			j.SelfLink, j.Generation = "x", 7
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			new, old := update(t, tc.send)
			d := evaluate(t, s, new, old, ordinaryUser, nil)
			var want []string
			if tc.want != "" {
				want = []string{tc.want}
			}
			if diff := cmp.Diff(want, texts(d.DeniedPaths())); diff != "" || d.TooManyChanges != (tc.want != "") {
				t.Errorf("too many changes: %t; denied paths (-want +got):\n%s", d.TooManyChanges, diff)
			}
		})
	}
}

// Otherwise the time would grow with the product of paths and policies.
func TestEvaluate_JoinsPoliciesOnce(t *testing.T) {
	var policies []*v1alpha1.JobUpdatePolicy
	for i := range 80 {
		policies = append(policies, policyFor(fmt.Sprintf("p%02d", i), []string{`metadata.annotations["granted-*"]`}, ofJobs("app", "render"), to("Group", fmt.Sprintf("group-%d", i))))
	}
	user := User{Name: "alice"}
	for i := range policies {
		user.Groups = append(user.Groups, fmt.Sprintf("group-%d", i))
	}
	new, old := update(t, annotate(MaxChanges))
	old.Labels = map[string]string{"app": "render"}
	new.Labels = old.Labels
	d := evaluate(t, compiled(t, policies...), new, old, user, nil)
	if d.Outcome != Allow || len(d.Changes) != MaxChanges {
		t.Fatalf("the decision is %s with %d changes", d.Outcome, len(d.Changes))
	}
	first := d.Changes[0].Policies
	for _, c := range d.Changes {
		if len(c.Policies) != len(policies) || &c.Policies[0] != &first[0] {
			t.Fatalf("%s has a list of %d policies of its own, want a shared list of %d", c.Path, len(c.Policies), len(policies))
		}
	}
	if got := len(d.GrantingPolicies()); got != len(policies) {
		t.Errorf("%d granting policies, want %d", got, len(policies))
	}
}
