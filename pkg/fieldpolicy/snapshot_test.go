// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package fieldpolicy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	"github.com/batchgate/batchgate/pkg/controller/jobupdatepolicy/bootstrappolicy"
)

type option func(*v1alpha1.JobUpdatePolicySpec)

// policyFor returns a policy that allows changes of the fields.
func policyFor(name string, fields []string, options ...option) *v1alpha1.JobUpdatePolicy {
	p := &v1alpha1.JobUpdatePolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.JobUpdatePolicySpec{Fields: fields}}
	for _, o := range options {
		o(&p.Spec)
	}
	v1alpha1.SetDefaults_JobUpdatePolicySpec(&p.Spec)
	return p
}

func to(kind, name string) option {
	return func(s *v1alpha1.JobUpdatePolicySpec) {
		namespace, name, isServiceAccount := strings.Cut(name, "/")
		if !isServiceAccount {
			namespace, name = "", namespace
		}
		s.Subjects = append(s.Subjects, rbacv1.Subject{Kind: kind, Namespace: namespace, Name: name})
	}
}

func inNamespaces(key, value string) option {
	return func(s *v1alpha1.JobUpdatePolicySpec) {
		s.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{key: value}}
	}
}

func ofJobs(key, value string) option {
	return func(s *v1alpha1.JobUpdatePolicySpec) {
		s.JobSelector = &metav1.LabelSelector{MatchLabels: map[string]string{key: value}}
	}
}

func warning(s *v1alpha1.JobUpdatePolicySpec) { s.Action = v1alpha1.Warn }

func compiled(t testing.TB, policies ...*v1alpha1.JobUpdatePolicy) *Snapshot {
	t.Helper()
	snapshot, invalid := Compile(policies)
	if len(invalid) > 0 {
		t.Fatalf("invalid policies: %v", invalid)
	}
	return snapshot
}

func suspend(j *batchv1.Job) { j.Spec.Suspend = ptr.To(true) }

// TestEvaluate_SubjectsAndSelectors suspends a Job in a namespace with the label env=test.
func TestEvaluate_SubjectsAndSelectors(t *testing.T) {
	fields := []string{"spec.suspend"}
	alice := User{Name: "alice", Groups: []string{"dev", "system:authenticated"}}
	for name, tc := range map[string]struct {
		policies []*v1alpha1.JobUpdatePolicy
		user     User
		send     func(*batchv1.Job)
		want     []string // granting policies
	}{
		"no policy":                            {user: alice},
		"no subjects":                          {policies: []*v1alpha1.JobUpdatePolicy{policyFor("p", fields)}, user: User{}, want: []string{"p"}},
		"different field":                      {policies: []*v1alpha1.JobUpdatePolicy{policyFor("p", []string{"spec.backoffLimit"})}, user: alice},
		"user":                                 {policies: []*v1alpha1.JobUpdatePolicy{policyFor("p", fields, to("User", "alice"))}, user: alice, want: []string{"p"}},
		"different user":                       {policies: []*v1alpha1.JobUpdatePolicy{policyFor("p", fields, to("User", "alic"))}, user: alice},
		"group":                                {policies: []*v1alpha1.JobUpdatePolicy{policyFor("p", fields, to("Group", "dev"))}, user: alice, want: []string{"p"}},
		"group with the name of the user":      {policies: []*v1alpha1.JobUpdatePolicy{policyFor("p", fields, to("Group", "alice"))}, user: alice},
		"user with the name of the group":      {policies: []*v1alpha1.JobUpdatePolicy{policyFor("p", fields, to("User", "dev"))}, user: alice},
		"service account":                      {policies: []*v1alpha1.JobUpdatePolicy{policyFor("p", fields, to("ServiceAccount", "ns/sa"))}, user: User{Name: "system:serviceaccount:ns:sa"}, want: []string{"p"}},
		"service account of another namespace": {policies: []*v1alpha1.JobUpdatePolicy{policyFor("p", fields, to("ServiceAccount", "ns/sa"))}, user: User{Name: "system:serviceaccount:ns2:sa"}},
		"one of two subjects":                  {policies: []*v1alpha1.JobUpdatePolicy{policyFor("p", fields, to("User", "bob"), to("Group", "dev"))}, user: alice, want: []string{"p"}},
		"both of two subjects":                 {policies: []*v1alpha1.JobUpdatePolicy{policyFor("p", fields, to("User", "alice"), to("Group", "dev"))}, user: alice, want: []string{"p"}},
		"duplicate subject":                    {policies: []*v1alpha1.JobUpdatePolicy{policyFor("p", fields, to("User", "alice"), to("User", "alice"))}, user: alice, want: []string{"p"}},
		"field and its parent":                 {policies: []*v1alpha1.JobUpdatePolicy{policyFor("p", []string{"spec", "spec.suspend"})}, user: alice, want: []string{"p"}},
		"two policies": {
			policies: []*v1alpha1.JobUpdatePolicy{policyFor("q", []string{"spec"}), policyFor("p", fields, to("User", "alice"))},
			user:     alice, want: []string{"p", "q"},
		},
		"two policies for one namespace": {
			policies: []*v1alpha1.JobUpdatePolicy{policyFor("q", fields, inNamespaces("env", "test")), policyFor("p", []string{"spec"}, inNamespaces("env", "test"))},
			user:     alice, want: []string{"p", "q"},
		},
		"namespace":           {policies: []*v1alpha1.JobUpdatePolicy{policyFor("p", fields, inNamespaces("env", "test"))}, user: alice, want: []string{"p"}},
		"different namespace": {policies: []*v1alpha1.JobUpdatePolicy{policyFor("p", fields, inNamespaces("env", "prod"))}, user: alice},
		"Job":                 {policies: []*v1alpha1.JobUpdatePolicy{policyFor("p", fields, ofJobs("app", "render"))}, user: alice, want: []string{"p"}},
		"different Job":       {policies: []*v1alpha1.JobUpdatePolicy{policyFor("p", fields, ofJobs("app", "other"))}, user: alice},
		"Job that matches after the update": {
			policies: []*v1alpha1.JobUpdatePolicy{policyFor("p", fields, ofJobs("app", "other"))}, user: alice,
			send: func(j *batchv1.Job) { suspend(j); j.Labels["app"] = "other" },
		},
		"Job that does not match after the update": {
			policies: []*v1alpha1.JobUpdatePolicy{policyFor("p", fields, ofJobs("app", "render"))}, user: alice,
			send: func(j *batchv1.Job) { suspend(j); j.Labels["app"] = "other" }, want: []string{"p"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.send == nil {
				tc.send = suspend
			}
			new, old := update(t, tc.send)
			s := compiled(t, slices.Concat(bootstrappolicy.Policies(), tc.policies)...)
			d := evaluate(t, s, new, old, tc.user, labels.Set{"env": "test"})
			i := slices.IndexFunc(d.Changes, func(c Change) bool { return c.Path.String() == "spec.suspend" })
			if diff := cmp.Diff(tc.want, d.Changes[i].Policies); diff != "" {
				t.Errorf("granting policies (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEvaluate_UnknownNamespace(t *testing.T) {
	notProd := func(s *v1alpha1.JobUpdatePolicySpec) {
		s.NamespaceSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
			{Key: "env", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"prod"}},
		}}
	}
	s := compiled(t, policyFor("p", []string{"spec.suspend"}, notProd))
	new, old := update(t, suspend)
	for name, tc := range map[string]struct {
		namespace labels.Set
		want      Outcome
	}{
		"unknown":        {nil, Deny},
		"without labels": {labels.Set{}, Allow},
		"excluded label": {labels.Set{"env": "prod"}, Deny},
	} {
		if got := evaluate(t, s, new, old, ordinaryUser, tc.namespace).Outcome; got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}

func TestEvaluate_WithoutPolicies(t *testing.T) {
	empty, _ := Compile(nil)
	for name, s := range map[string]*Snapshot{"zero Snapshot": {}, "no policies": empty} {
		for change, tc := range allowedChanges {
			new, old := update(t, tc.send)
			d := evaluate(t, s, new, old, garbageCollector, labels.Set{})
			if len(d.DeniedPaths()) != len(d.Changes) {
				t.Errorf("%s: %s: some of the changes %v are not denied", name, change, d.Changes)
			}
			if want := len(d.Changes) == 0; (d.Outcome == Allow) != want {
				t.Errorf("%s: %s: %s, want allow: %t", name, change, d.Outcome, want)
			}
		}
	}
}

func TestEvaluate_AllowOutweighsWarn(t *testing.T) {
	all := policyFor("warn-all", []string{"*"}, warning)
	limit := policyFor("limit", []string{"spec.backoffLimit"}, warning)
	s := compiled(t, append(bootstrappolicy.Policies(), all, limit, policyFor("suspend", []string{"spec.suspend"}))...)
	new, old := update(t, func(j *batchv1.Job) {
		j.Labels["app"] = "x"
		j.Spec.Suspend = ptr.To(true)
		j.Spec.BackoffLimit = ptr.To[int32](1)
		j.Annotations["new"] = ""
	})
	d := evaluate(t, s, new, old, ordinaryUser, nil)
	want := []string{
		`metadata.annotations["new"] [warn-all] true`,
		`metadata.labels["app"] [default] false`,
		`spec.backoffLimit [limit warn-all] true`,
		`spec.suspend [suspend] false`,
	}
	var got []string
	for _, c := range d.Changes {
		got = append(got, fmt.Sprint(c.Path, c.Policies, c.Warn))
	}
	if diff := cmp.Diff(want, got); diff != "" || d.Outcome != Warn {
		t.Errorf("%s, want warn; changes (-want +got):\n%s", d.Outcome, diff)
	}
	if diff := cmp.Diff(new, d.Job); diff != "" {
		t.Errorf("the Job to store (-sent +got):\n%s", diff)
	}
	if d := evaluate(t, compiled(t, all), new, old, ordinaryUser, nil); d.Outcome != Warn {
		t.Errorf("with only a warning policy: %s, want warn", d.Outcome)
	}
}

func TestEvaluate_FastPath(t *testing.T) {
	new, old := update(t, func(j *batchv1.Job) { suspend(j); j.Annotations = nil; j.Labels["app"] = "x" })
	for name, tc := range map[string]struct {
		policies []*v1alpha1.JobUpdatePolicy
		want     []string // granting policies, nil if the fast path does not apply
	}{
		"all fields":              {[]*v1alpha1.JobUpdatePolicy{policyFor("all", []string{"*"})}, []string{"all"}},
		"parents":                 {[]*v1alpha1.JobUpdatePolicy{policyFor("m", []string{"metadata"}), policyFor("s", []string{"spec"})}, []string{"m", "s"}},
		"fields":                  {[]*v1alpha1.JobUpdatePolicy{policyFor("p", []string{"spec.suspend", "metadata.labels", "metadata.annotations"}, to("User", "alice"))}, []string{"p"}},
		"some of the fields":      {[]*v1alpha1.JobUpdatePolicy{policyFor("p", []string{"spec.suspend", "metadata.annotations"})}, nil},
		"part of a field":         {[]*v1alpha1.JobUpdatePolicy{policyFor("p", []string{"spec", "metadata.labels", "metadata.annotations[*]"})}, nil},
		"namespaceSelector":       {[]*v1alpha1.JobUpdatePolicy{policyFor("p", []string{"*"}, inNamespaces("env", "test"))}, nil},
		"jobSelector":             {[]*v1alpha1.JobUpdatePolicy{policyFor("p", []string{"*"}, ofJobs("app", "render"))}, nil},
		"different user":          {[]*v1alpha1.JobUpdatePolicy{policyFor("p", []string{"*"}, to("User", "bob"))}, nil},
		"warning":                 {[]*v1alpha1.JobUpdatePolicy{policyFor("p", []string{"*"}, warning)}, nil},
		"warning for some fields": {[]*v1alpha1.JobUpdatePolicy{policyFor("m", []string{"metadata"}), policyFor("s", []string{"spec"}, warning)}, nil},
		"warning in addition":     {[]*v1alpha1.JobUpdatePolicy{policyFor("m", []string{"*"}), policyFor("s", []string{"spec"}, warning)}, []string{"m"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := compiled(t, tc.policies...)
			evaluate(t, s, new, old, ordinaryUser, nil)
			d := s.evaluateFast(new, old, ordinaryUser)
			if (d != nil) != (tc.want != nil) {
				t.Fatalf("the fast path applies: %t, want %t", d != nil, tc.want != nil)
			}
			if d == nil {
				return
			}
			if diff := cmp.Diff(new, d.Job); diff != "" {
				t.Errorf("the Job to store (-sent +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.want, d.GrantingPolicies()); diff != "" {
				t.Errorf("granting policies (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEvaluate_KeepsStoredFormOfOtherFields(t *testing.T) {
	send := func(j *batchv1.Job) {
		mainContainer(j).Image = "x"
		mainContainer(j).Resources.Requests[corev1.ResourceMemory] = resource.MustParse("1073741824")
		podSpec(j).Volumes[0].EmptyDir.SizeLimit = ptr.To(resource.MustParse("1024Mi"))
		podSpec(j).NodeSelector["a"] = "b"
		j.Spec.Template.Annotations = map[string]string{}
	}
	new, old := update(t, send)
	s := compiled(t, policyFor("p", []string{"spec.template.spec.containers[*].image", `spec.template.spec.nodeSelector["a"]`}))
	d := evaluate(t, s, new, old, ordinaryUser, nil)
	if d.Outcome != Allow {
		t.Fatalf("denied paths: %s", d.DeniedPaths())
	}
	want, _ := update(t, func(j *batchv1.Job) { mainContainer(j).Image = "x"; podSpec(j).NodeSelector["a"] = "b" })
	if diff := cmp.Diff(want, d.Job); diff != "" {
		t.Errorf("the Job to store (-want +got):\n%s", diff)
	}
	memory := v1Job(t, d.Job).Spec.Template.Spec.Containers[0].Resources.Requests[corev1.ResourceMemory]
	if memory.String() != "1Gi" {
		t.Errorf("the memory is stored as %s", memory.String())
	}
}

func TestEvaluate_UpdatableFields(t *testing.T) {
	s := compiled(t, append(bootstrappolicy.Policies(), policyFor("p", []string{"spec.suspend", "metadata.labels"}, to("User", "alice")), policyFor("q", []string{"*"}, to("User", "bob")))...)
	new, old := update(t, func(j *batchv1.Job) { j.Spec.BackoffLimit = nil })
	want := []string{"metadata.labels", "spec.completions", "spec.parallelism", "spec.selector", "spec.suspend"}
	if diff := cmp.Diff(want, evaluate(t, s, new, old, ordinaryUser, nil).UpdatableFields); diff != "" {
		t.Errorf("updatable fields (-want +got):\n%s", diff)
	}
}

// A denial has the first patterns of all policies that apply, in whichever policy they are.
func TestEvaluate_FirstUpdatableFields(t *testing.T) {
	var policies []*v1alpha1.JobUpdatePolicy
	var want []string
	key := func(n int) string { return fmt.Sprintf(`metadata.annotations["%02d"]`, n) }
	for n := range 30 {
		policies = append(policies,
			policyFor(fmt.Sprint("here-", n), []string{key(30 + n), key(29 - n)}, inNamespaces("name", "here")),
			policyFor(fmt.Sprint("there-", n), []string{fmt.Sprintf(`metadata.annotations["00-%d"]`, n)}, inNamespaces("name", "there")))
		want = append(want, key(n))
	}
	new, old := update(t, func(j *batchv1.Job) { j.Spec.BackoffLimit = nil })
	got := evaluate(t, compiled(t, policies...), new, old, ordinaryUser, labels.Set{"name": "here"}).UpdatableFields
	if diff := cmp.Diff(want[:MaxUpdatableFields], got); diff != "" {
		t.Errorf("updatable fields (-want +got):\n%s", diff)
	}
}

func TestCompile_InvalidPolicies(t *testing.T) {
	invalidPolicy := func(change option) *v1alpha1.JobUpdatePolicy { return policyFor("p", []string{"*"}, change) }
	for name, tc := range map[string]struct {
		policy *v1alpha1.JobUpdatePolicy
		err    string
		denied []string
	}{
		"unknown and known field": {
			policyFor("p", []string{"spec.suspend", "spec.future"}), "a batch/v1 Job has no field spec.future",
			[]string{"spec.backoffLimit"},
		},
		"unknown API group of a subject": {invalidPolicy(func(s *v1alpha1.JobUpdatePolicySpec) {
			s.Subjects = []rbacv1.Subject{{Kind: "User", APIGroup: "example.com", Name: ordinaryUser.Name}}
		}), `unknown API group of the subject User "`, []string{"spec.backoffLimit", "spec.suspend"}},
		"namespace of a user":     {invalidPolicy(to("User", "dev/"+ordinaryUser.Name)), "must not have a namespace", []string{"spec.backoffLimit", "spec.suspend"}},
		"unknown kind of subject": {invalidPolicy(to("Robot", "r2")), `unknown kind of subject "Robot"`, []string{"spec.backoffLimit", "spec.suspend"}},
		"unknown operator": {invalidPolicy(func(s *v1alpha1.JobUpdatePolicySpec) {
			s.JobSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Near"}}}
		}), "jobSelector: ", []string{"spec.backoffLimit", "spec.suspend"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, invalid := Compile([]*v1alpha1.JobUpdatePolicy{tc.policy})
			if err := invalid["p"]; err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("error %v, want %s", err, tc.err)
			}
			new, old := update(t, func(j *batchv1.Job) { suspend(j); j.Spec.BackoffLimit = nil })
			if diff := cmp.Diff(tc.denied, texts(evaluate(t, s, new, old, ordinaryUser, labels.Set{}).DeniedPaths())); diff != "" {
				t.Errorf("denied paths (-want +got):\n%s", diff)
			}
		})
	}
	for name, change := range map[string]func(*v1alpha1.JobUpdatePolicySpec){
		"missing namespaceSelector": func(s *v1alpha1.JobUpdatePolicySpec) { s.NamespaceSelector = nil },
		"missing jobSelector":       func(s *v1alpha1.JobUpdatePolicySpec) { s.JobSelector = nil },
		"unknown action":            func(s *v1alpha1.JobUpdatePolicySpec) { s.Action = "Maybe" },
	} {
		p := policyFor("p", []string{"*"})
		change(&p.Spec)
		// A valid policy for all Jobs must not affect the invalid one.
		s, _ := Compile([]*v1alpha1.JobUpdatePolicy{policyFor("a", []string{"metadata.labels"}), p})
		new, old := update(t, suspend)
		if d := evaluate(t, s, new, old, ordinaryUser, labels.Set{}); d.Outcome != Deny {
			t.Errorf("a policy with a %s grants its fields", name)
		}
	}
}

// Looking up the labels of a namespace may send a request to the cluster.
func TestEvaluate_LooksUpNamespaceLabelsIfNeeded(t *testing.T) {
	for name, tc := range map[string]struct {
		policies []*v1alpha1.JobUpdatePolicy
		want     int
	}{
		"no namespaceSelector":   {[]*v1alpha1.JobUpdatePolicy{policyFor("p", []string{"spec.backoffLimit"})}, 0},
		"namespaceSelector":      {[]*v1alpha1.JobUpdatePolicy{policyFor("p", []string{"spec.backoffLimit"}, inNamespaces("env", "test"))}, 1},
		"two namespaceSelectors": {[]*v1alpha1.JobUpdatePolicy{policyFor("p", []string{"spec.suspend"}, inNamespaces("env", "test")), policyFor("q", []string{"spec"}, inNamespaces("env", "prod"))}, 1},
		"other user":             {[]*v1alpha1.JobUpdatePolicy{policyFor("p", []string{"spec.suspend"}, inNamespaces("env", "test"), to("User", "bob"))}, 0},
		"other Job":              {[]*v1alpha1.JobUpdatePolicy{policyFor("p", []string{"spec.suspend"}, inNamespaces("env", "test"), ofJobs("app", "other"))}, 0},
	} {
		calls := 0
		new, old := update(t, suspend)
		_, err := compiled(t, tc.policies...).Evaluate(new, old, ordinaryUser, func() labels.Set { calls++; return labels.Set{"env": "test"} })
		if err != nil || calls != tc.want {
			t.Errorf("%s: %d calls, want %d; error %v", name, calls, tc.want, err)
		}
	}
}
