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

func TestGrantOpensForItsSubjectsInItsNamespaceAndClosesAgain(t *testing.T) {
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
	for _, everybody := range []session.Session{alice, bob, aliceElsewhere} {
		everybody.ExpectDenied(annotation, `metadata.annotations["example.com/ticket"]`)
	}

	policy := s.CreatePolicy(s.NewPolicy("grant", session.Fields("spec.suspend", `metadata.annotations["example.com/*"]`), session.Subjects(userSubject(name))))
	began := time.Now()
	alice.RunEventually(annotation...)
	t.Logf("the policy was in force after %s", time.Since(began))
	alice.Run(suspend...)
	alice.Run(session.MergePatch("pi", `{"spec": {"suspend": false}, "metadata": {"annotations": {"example.com/ticket": null}, "labels": {"by": "alice"}}}`)...)
	// Nothing of an update goes through if any of it is not granted, and the error names
	// what would have.
	alice.ExpectError(session.MergePatch("pi", `{"spec": {"suspend": true, "backoffLimit": 1}, "metadata": {"annotations": {"other": "a"}}}`),
		`metadata.annotations["other"]`, "spec.backoffLimit", `updatable fields are metadata.annotations["example.com/*"], metadata.labels,`,
		fmt.Sprintf("no JobUpdatePolicy grants it to %q (kubectl get jup)", name))
	if got := s.JobField("pi", ".spec.suspend"); got != "false" {
		t.Errorf("a refused update left suspend at %s", got)
	}
	for _, other := range []session.Session{bob, aliceElsewhere, s} {
		for _, args := range [][]string{annotation, suspend} {
			_, _, err := other.Try(args...)
			if err := session.CheckDenied(err); err != nil {
				t.Errorf("the policy is not for them: %v", err)
			}
		}
	}

	s.Run("delete", "jup", policy)
	alice.ExpectDenied(annotation, `metadata.annotations["example.com/ticket"]`)
	alice.ExpectDenied(suspend, "spec.suspend")
}

func TestGrantForGroupsAndServiceAccountsIsTheirs(t *testing.T) {
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
	// Whoever may do everything by RBAC is gated all the same.
	s.ExpectDenied(change(3), "spec.backoffLimit")
}

// The labels that count are the stored ones: nobody opens the gate by sending labels along.
func TestJobSelectorLooksAtTheStoredLabels(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	labelled := func(labels map[string]string) func(*batchv1.Job) {
		return func(j *batchv1.Job) { j.Labels = labels }
	}
	s.CreateJob(session.NewJob("open", labelled(map[string]string{"gate": "open"})))
	s.CreateJob(session.NewJob("pi"))
	s.CreatePolicy(s.NewPolicy("selected", session.Fields("spec.backoffLimit"), func(spec *v1alpha1.JobUpdatePolicySpec) {
		spec.JobSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"gate": "open"}}
	}))
	s.RunEventually(session.MergePatch("open", `{"spec": {"backoffLimit": 1}}`)...)
	s.ExpectDenied(session.MergePatch("pi", `{"spec": {"backoffLimit": 1}}`), "spec.backoffLimit")
	s.ExpectDenied(session.MergePatch("pi", `{"spec": {"backoffLimit": 1}, "metadata": {"labels": {"gate": "open"}}}`), "spec.backoffLimit")
	if got := s.JobField("pi", ".metadata.labels.gate"); got != "" {
		t.Errorf("a refused update has set the label %s", got)
	}
	// An update may take the Job out of the selection that it is in.
	s.Run(session.MergePatch("open", `{"spec": {"backoffLimit": 2}, "metadata": {"labels": {"gate": null}}}`)...)
	s.ExpectDenied(session.MergePatch("open", `{"spec": {"backoffLimit": 3}}`), "spec.backoffLimit")
	s.Run("label", "job", "pi", "gate=open")
	s.Run(session.MergePatch("pi", `{"spec": {"backoffLimit": 1}}`)...)
}

func TestNamespaceSelectorFollowsTheLabelsOfTheNamespace(t *testing.T) {
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

func TestStatusOfAPolicyFollowsItsGeneration(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	name := s.CreatePolicy(s.NewPolicy("generation", session.Fields("spec.suspend")))
	client := session.Policies(t, cluster)
	expect := func(generation int64) {
		t.Helper()
		s.Eventually(fmt.Sprintf("report generation %d", generation), func() error {
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
	s.Run("patch", "jup", name, "--type=merge", `--patch={"spec": {"fields": ["spec.backoffLimit"]}}`)
	expect(2)
	s.Run("label", "jup", name, "a=b")
	s.Run("patch", "jup", name, "--type=merge", `--patch={"spec": {"fields": ["spec.backoffLimit"]}}`)
	expect(2)
	s.Run("patch", "jup", name, "--type=merge", `--patch={"spec": {"action": "Warn"}}`)
	expect(3)
}
