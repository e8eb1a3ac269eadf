package core

import (
	"context"
	"fmt"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
)

func TestGrantOpensForItsSubjectsInItsNamespaceAndClosesAgain(t *testing.T) {
	t.Parallel()
	s, elsewhere := newSession(t), newSession(t)
	for _, in := range []session{s, elsewhere} {
		in.create(newJob("pi"))
	}
	alice, bob := s.editor("alice"), s.editor("bob")
	name := "alice-" + s.namespace
	elsewhere.run("create", "rolebinding", "alice", "--clusterrole=edit", "--user="+name)
	aliceElsewhere := elsewhere.as(name)
	annotation := []string{"annotate", "--overwrite", "job", "pi", "example.com/ticket=1"}
	suspend := onJob("pi", `{"spec": {"suspend": true}}`)
	for _, everybody := range []session{alice, bob, aliceElsewhere} {
		everybody.denied(annotation, `metadata.annotations["example.com/ticket"]`)
	}

	policy := s.createPolicy(s.newPolicy("grant", fields("spec.suspend", `metadata.annotations["example.com/*"]`), to(user(name))))
	began := time.Now()
	alice.granted(annotation...)
	t.Logf("the policy was in force after %s", time.Since(began))
	alice.run(suspend...)
	alice.run(onJob("pi", `{"spec": {"suspend": false}, "metadata": {"annotations": {"example.com/ticket": null}, "labels": {"by": "alice"}}}`)...)
	// Nothing of an update goes through if any of it is not granted, and the error names
	// what would have.
	alice.refused(onJob("pi", `{"spec": {"suspend": true, "backoffLimit": 1}, "metadata": {"annotations": {"other": "a"}}}`),
		`metadata.annotations["other"]`, "spec.backoffLimit", `updatable fields are metadata.annotations["example.com/*"], metadata.labels,`,
		fmt.Sprintf("no JobUpdatePolicy grants it to %q (kubectl get jup)", name))
	if got := s.field("pi", ".spec.suspend"); got != "false" {
		t.Errorf("a refused update left suspend at %s", got)
	}
	for _, other := range []session{bob, aliceElsewhere, s} {
		for _, args := range [][]string{annotation, suspend} {
			_, _, err := other.try(args...)
			if err := refusedAt(err); err != nil {
				t.Errorf("the policy is not for them: %v", err)
			}
		}
	}

	s.run("delete", "jup", policy)
	alice.denied(annotation, `metadata.annotations["example.com/ticket"]`)
	alice.denied(suspend, "spec.suspend")
}

func TestGrantForGroupsAndServiceAccountsIsTheirs(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.create(newJob("pi"))
	group := "team-" + s.namespace
	member, other := s.editor("member", group), s.editor("other")
	s.run("create", "rolebinding", "robot", "--clusterrole=edit", "--serviceaccount="+s.namespace+":robot")
	p := s.newPolicy("subjects", fields("spec.backoffLimit"), to(
		rbacv1.Subject{Kind: rbacv1.GroupKind, Name: group},
		rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: s.namespace, Name: "robot"},
	))
	p.Spec.NamespaceSelector = nil
	s.createPolicy(p)
	change := func(limit int) []string {
		return onJob("pi", fmt.Sprintf(`{"spec": {"backoffLimit": %d}}`, limit))
	}
	member.granted(change(1)...)
	s.run(append(change(2), "--as=system:serviceaccount:"+s.namespace+":robot")...)
	other.denied(change(3), "spec.backoffLimit")
	// Whoever may do everything by RBAC is gated all the same.
	s.denied(change(3), "spec.backoffLimit")
}

// The labels that count are the stored ones: nobody opens the gate by sending labels along.
func TestJobSelectorLooksAtTheStoredLabels(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	labelled := func(labels map[string]string) func(*batchv1.Job) {
		return func(j *batchv1.Job) { j.Labels = labels }
	}
	s.create(newJob("open", labelled(map[string]string{"gate": "open"})))
	s.create(newJob("pi"))
	s.createPolicy(s.newPolicy("selected", fields("spec.backoffLimit"), func(spec *v1alpha1.JobUpdatePolicySpec) {
		spec.JobSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"gate": "open"}}
	}))
	s.granted(onJob("open", `{"spec": {"backoffLimit": 1}}`)...)
	s.denied(onJob("pi", `{"spec": {"backoffLimit": 1}}`), "spec.backoffLimit")
	s.denied(onJob("pi", `{"spec": {"backoffLimit": 1}, "metadata": {"labels": {"gate": "open"}}}`), "spec.backoffLimit")
	if got := s.field("pi", ".metadata.labels.gate"); got != "" {
		t.Errorf("a refused update has set the label %s", got)
	}
	// An update may take the Job out of the selection that it is in.
	s.run(onJob("open", `{"spec": {"backoffLimit": 2}, "metadata": {"labels": {"gate": null}}}`)...)
	s.denied(onJob("open", `{"spec": {"backoffLimit": 3}}`), "spec.backoffLimit")
	s.run("label", "job", "pi", "gate=open")
	s.run(onJob("pi", `{"spec": {"backoffLimit": 1}}`)...)
}

func TestNamespaceSelectorFollowsTheLabelsOfTheNamespace(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.create(newJob("pi"))
	key := "gate-" + s.namespace
	s.createPolicy(s.newPolicy("namespaces", fields("spec.backoffLimit"), func(spec *v1alpha1.JobUpdatePolicySpec) {
		spec.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{key: "open"}}
	}))
	change := onJob("pi", `{"spec": {"backoffLimit": 1}}`)
	s.run("label", "namespace", s.namespace, key+"=open")
	s.granted(change...)
	s.run("label", "namespace", s.namespace, key+"-")
	s.denied(onJob("pi", `{"spec": {"backoffLimit": 2}}`), "spec.backoffLimit")
}

func TestStatusOfAPolicyFollowsItsGeneration(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	name := s.createPolicy(s.newPolicy("generation", fields("spec.suspend")))
	client := policies(t)
	expect := func(generation int64) {
		t.Helper()
		s.eventually(fmt.Sprintf("report generation %d", generation), func() error {
			p, err := client.Get(context.Background(), name, metav1.GetOptions{})
			if err != nil {
				return err
			}
			if p.Generation != generation {
				t.Fatalf("the generation is %d, want %d", p.Generation, generation)
			}
			if p.Status.ObservedGeneration != generation || len(p.Status.Conditions) != 1 {
				return fmt.Errorf("the status is %+v", p.Status)
			}
			ready := p.Status.Conditions[0]
			if ready.Type != v1alpha1.ConditionReady || ready.Status != metav1.ConditionTrue || ready.ObservedGeneration != generation {
				return fmt.Errorf("the condition is %+v", ready)
			}
			return nil
		})
	}
	expect(1)
	s.run("patch", "jup", name, "--type=merge", `--patch={"spec": {"fields": ["spec.backoffLimit"]}}`)
	expect(2)
	s.run("label", "jup", name, "a=b")
	s.run("patch", "jup", name, "--type=merge", `--patch={"spec": {"fields": ["spec.backoffLimit"]}}`)
	expect(2)
	s.run("patch", "jup", name, "--type=merge", `--patch={"spec": {"action": "Warn"}}`)
	expect(3)
}
