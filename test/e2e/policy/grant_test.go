// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"context"
	"fmt"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	"github.com/batchgate/batchgate/test/e2e/internal/session"
)

func TestGrantAppliesToSubjectsInNamespace(t *testing.T) {
	t.Parallel()
	s, elsewhere := session.New(t, cluster), session.New(t, cluster)
	for _, in := range []session.Session{s, elsewhere} {
		in.CreateJob(session.NewJob("pi"))
	}
	alice, bob := s.Editor("alice"), s.Editor("bob")
	name := "alice-" + s.Namespace
	elsewhere.Run("create", "rolebinding", "alice", "--clusterrole=edit", "--user="+name)
	aliceElsewhere := elsewhere.As(name)
	annotation := []string{"annotate", "--overwrite", "job", "pi", "example.com/ticket=1"}
	suspend := session.MergePatch("pi", `{"spec": {"suspend": true}}`)
	for _, user := range []session.Session{alice, bob, aliceElsewhere} {
		user.ExpectDenied(annotation, `metadata.annotations["example.com/ticket"]`)
	}

	policy := s.CreatePolicy(s.NewPolicy("grant", session.Fields("spec.suspend", `metadata.annotations["example.com/*"]`), session.Subjects(userSubject(name))))
	began := time.Now()
	alice.RunEventually(annotation...)
	t.Logf("policy was active after %s", time.Since(began))
	alice.Run(suspend...)
	alice.Run(session.MergePatch("pi", `{"spec": {"suspend": false}, "metadata": {"annotations": {"example.com/ticket": null}, "labels": {"by": "alice"}}}`)...)
	// The gate denies the whole update if one field is not updatable. The error lists the updatable
	// fields.
	alice.ExpectError(session.MergePatch("pi", `{"spec": {"suspend": true, "backoffLimit": 1}, "metadata": {"annotations": {"other": "a"}}}`),
		`metadata.annotations["other"]`, "spec.backoffLimit", `updatable fields are metadata.annotations["example.com/*"], metadata.labels,`,
		fmt.Sprintf("no JobUpdatePolicy grants this change to %q (kubectl get jup)", name))
	if got := s.JobField("pi", ".spec.suspend"); got != "false" {
		t.Errorf("suspend is %s after a denied update, want false", got)
	}
	for _, other := range []session.Session{bob, aliceElsewhere, s} {
		for _, args := range [][]string{annotation, suspend} {
			_, _, err := other.Try(args...)
			if err := session.CheckDenied(err); err != nil {
				t.Errorf("update by a user who is no subject of the policy: %v", err)
			}
		}
	}

	s.Run("delete", "jup", policy)
	alice.ExpectDenied(annotation, `metadata.annotations["example.com/ticket"]`)
	alice.ExpectDenied(suspend, "spec.suspend")
}

func TestGrantAppliesToGroupsAndServiceAccounts(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	s.CreateJob(session.NewJob("pi"))
	group := "team-" + s.Namespace
	member, other := s.Editor("member", group), s.Editor("other")
	s.Run("create", "rolebinding", "robot", "--clusterrole=edit", "--serviceaccount="+s.Namespace+":robot")
	p := s.NewPolicy("subjects", session.Fields("spec.backoffLimit"), session.Subjects(
		rbacv1.Subject{Kind: rbacv1.GroupKind, Name: group},
		rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: s.Namespace, Name: "robot"},
	))
	p.Spec.NamespaceSelector = nil
	s.CreatePolicy(p)
	change := func(limit int) []string {
		return session.MergePatch("pi", fmt.Sprintf(`{"spec": {"backoffLimit": %d}}`, limit))
	}
	member.RunEventually(change(1)...)
	s.Run(append(change(2), "--as=system:serviceaccount:"+s.Namespace+":robot")...)
	other.ExpectDenied(change(3), "spec.backoffLimit")
	// The gate also applies to cluster admins.
	s.ExpectDenied(change(3), "spec.backoffLimit")
}

// The stored labels count, so an update cannot select itself by setting labels.
func TestJobSelectorUsesStoredLabels(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	labeled := func(labels map[string]string) func(*batchv1.Job) {
		return func(j *batchv1.Job) { j.Labels = labels }
	}
	s.CreateJob(session.NewJob("open", labeled(map[string]string{"gate": "open"})))
	s.CreateJob(session.NewJob("pi"))
	s.CreatePolicy(s.NewPolicy("selected", session.Fields("spec.backoffLimit"), func(spec *v1alpha1.JobUpdatePolicySpec) {
		spec.JobSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"gate": "open"}}
	}))
	s.RunEventually(session.MergePatch("open", `{"spec": {"backoffLimit": 1}}`)...)
	s.ExpectDenied(session.MergePatch("pi", `{"spec": {"backoffLimit": 1}}`), "spec.backoffLimit")
	s.ExpectDenied(session.MergePatch("pi", `{"spec": {"backoffLimit": 1}, "metadata": {"labels": {"gate": "open"}}}`), "spec.backoffLimit")
	if got := s.JobField("pi", ".metadata.labels.gate"); got != "" {
		t.Errorf("a denied update set the label to %s", got)
	}
	// An update of a selected Job may remove the label that selects it.
	s.Run(session.MergePatch("open", `{"spec": {"backoffLimit": 2}, "metadata": {"labels": {"gate": null}}}`)...)
	s.ExpectDenied(session.MergePatch("open", `{"spec": {"backoffLimit": 3}}`), "spec.backoffLimit")
	s.Run("label", "job", "pi", "gate=open")
	s.Run(session.MergePatch("pi", `{"spec": {"backoffLimit": 1}}`)...)
}

func TestNamespaceSelectorFollowsNamespaceLabels(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	s.CreateJob(session.NewJob("pi"))
	key := "gate-" + s.Namespace
	s.CreatePolicy(s.NewPolicy("namespaces", session.Fields("spec.backoffLimit"), func(spec *v1alpha1.JobUpdatePolicySpec) {
		spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{key: "open"}}
	}))
	change := session.MergePatch("pi", `{"spec": {"backoffLimit": 1}}`)
	s.Run("label", "namespace", s.Namespace, key+"=open")
	s.RunEventually(change...)
	s.Run("label", "namespace", s.Namespace, key+"-")
	s.ExpectDenied(session.MergePatch("pi", `{"spec": {"backoffLimit": 2}}`), "spec.backoffLimit")
}

func TestPolicyStatusFollowsGeneration(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	name := s.CreatePolicy(s.NewPolicy("generation", session.Fields("spec.suspend")))
	client := session.Policies(t, cluster)
	expectGeneration := func(generation int64) {
		t.Helper()
		s.Eventually(fmt.Sprintf("observe generation %d", generation), func() error {
			p, err := client.Get(context.Background(), name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			if p.Generation != generation {
				t.Fatalf("generation is %d, want %d", p.Generation, generation)
			}
			if p.Status.ObservedGeneration != generation || len(p.Status.Conditions) != 1 {
				return fmt.Errorf("status is %+v", p.Status)
			}
			ready := p.Status.Conditions[0]
			if ready.Type != v1alpha1.ConditionReady || ready.Status != metav1.ConditionTrue || ready.ObservedGeneration != generation {
				return fmt.Errorf("condition is %+v", ready)
			}
			return nil
		})
	}
	expectGeneration(1)
	s.Run("patch", "jup", name, "--type=merge", `--patch={"spec": {"fields": ["spec.backoffLimit"]}}`)
	expectGeneration(2)
	s.Run("label", "jup", name, "a=b")
	s.Run("patch", "jup", name, "--type=merge", `--patch={"spec": {"fields": ["spec.backoffLimit"]}}`)
	expectGeneration(2)
	s.Run("patch", "jup", name, "--type=merge", `--patch={"spec": {"action": "Warn"}}`)
	expectGeneration(3)
}
