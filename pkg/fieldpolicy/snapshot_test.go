package fieldpolicy

import (
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
)

type option func(*v1alpha1.JobUpdatePolicySpec)

// granting returns a policy that allows the fields.
func granting(name string, fields []string, options ...option) *v1alpha1.JobUpdatePolicy {
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
	snapshot, wrong := Compile(policies)
	if len(wrong) > 0 {
		t.Fatalf("the policies are wrong: %v", wrong)
	}
	return snapshot
}

func suspend(j *batchv1.Job) { j.Spec.Suspend = ptr.To(true) }

// TestPolicyGrantsToItsSubjectsInItsNamespacesForItsJobs suspends the Job in a namespace with
// the label env=test.
func TestPolicyGrantsToItsSubjectsInItsNamespacesForItsJobs(t *testing.T) {
	fields := []string{"spec.suspend"}
	alice := User{Name: "alice", Groups: []string{"dev", "system:authenticated"}}
	for name, tc := range map[string]struct {
		policies []*v1alpha1.JobUpdatePolicy
		user     User
		send     func(*batchv1.Job)
		granting []string
	}{
		"none":                        {user: alice},
		"everybody":                   {policies: []*v1alpha1.JobUpdatePolicy{granting("p", fields)}, user: User{}, granting: []string{"p"}},
		"another field":               {policies: []*v1alpha1.JobUpdatePolicy{granting("p", []string{"spec.backoffLimit"})}, user: alice},
		"the user":                    {policies: []*v1alpha1.JobUpdatePolicy{granting("p", fields, to("User", "alice"))}, user: alice, granting: []string{"p"}},
		"another user":                {policies: []*v1alpha1.JobUpdatePolicy{granting("p", fields, to("User", "alic"))}, user: alice},
		"a group":                     {policies: []*v1alpha1.JobUpdatePolicy{granting("p", fields, to("Group", "dev"))}, user: alice, granting: []string{"p"}},
		"a group named as the user":   {policies: []*v1alpha1.JobUpdatePolicy{granting("p", fields, to("Group", "alice"))}, user: alice},
		"a user named as the group":   {policies: []*v1alpha1.JobUpdatePolicy{granting("p", fields, to("User", "dev"))}, user: alice},
		"a service account":           {policies: []*v1alpha1.JobUpdatePolicy{granting("p", fields, to("ServiceAccount", "ns/sa"))}, user: User{Name: "system:serviceaccount:ns:sa"}, granting: []string{"p"}},
		"another namespace's account": {policies: []*v1alpha1.JobUpdatePolicy{granting("p", fields, to("ServiceAccount", "ns/sa"))}, user: User{Name: "system:serviceaccount:ns2:sa"}},
		"one of two subjects":         {policies: []*v1alpha1.JobUpdatePolicy{granting("p", fields, to("User", "bob"), to("Group", "dev"))}, user: alice, granting: []string{"p"}},
		"both of two subjects":        {policies: []*v1alpha1.JobUpdatePolicy{granting("p", fields, to("User", "alice"), to("Group", "dev"))}, user: alice, granting: []string{"p"}},
		"a subject twice":             {policies: []*v1alpha1.JobUpdatePolicy{granting("p", fields, to("User", "alice"), to("User", "alice"))}, user: alice, granting: []string{"p"}},
		"a field and its parent":      {policies: []*v1alpha1.JobUpdatePolicy{granting("p", []string{"spec", "spec.suspend"})}, user: alice, granting: []string{"p"}},
		"two policies": {
			policies: []*v1alpha1.JobUpdatePolicy{granting("q", []string{"spec"}), granting("p", fields, to("User", "alice"))},
			user:     alice, granting: []string{"p", "q"},
		},
		"two policies of one namespace": {
			policies: []*v1alpha1.JobUpdatePolicy{granting("q", fields, inNamespaces("env", "test")), granting("p", []string{"spec"}, inNamespaces("env", "test"))},
			user:     alice, granting: []string{"p", "q"},
		},
		"the namespace":     {policies: []*v1alpha1.JobUpdatePolicy{granting("p", fields, inNamespaces("env", "test"))}, user: alice, granting: []string{"p"}},
		"another namespace": {policies: []*v1alpha1.JobUpdatePolicy{granting("p", fields, inNamespaces("env", "prod"))}, user: alice},
		"the Job":           {policies: []*v1alpha1.JobUpdatePolicy{granting("p", fields, ofJobs("app", "render"))}, user: alice, granting: []string{"p"}},
		"another Job":       {policies: []*v1alpha1.JobUpdatePolicy{granting("p", fields, ofJobs("app", "other"))}, user: alice},
		"a Job that the update would make one of them": {
			policies: []*v1alpha1.JobUpdatePolicy{granting("p", fields, ofJobs("app", "other"))}, user: alice,
			send: func(j *batchv1.Job) { suspend(j); j.Labels["app"] = "other" },
		},
		"a Job that the update would take from them": {
			policies: []*v1alpha1.JobUpdatePolicy{granting("p", fields, ofJobs("app", "render"))}, user: alice,
			send: func(j *batchv1.Job) { suspend(j); j.Labels["app"] = "other" }, granting: []string{"p"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.send == nil {
				tc.send = suspend
			}
			new, old := update(t, tc.send)
			s := compiled(t, slices.Concat(Bootstrap(), tc.policies)...)
			v := s.Judge(v1Job(t, new), v1Job(t, old), tc.user, labels.Set{"env": "test"})
			i := slices.IndexFunc(v.Changes, func(c Change) bool { return c.Path == "spec.suspend" })
			if diff := cmp.Diff(tc.granting, v.Changes[i].Policies); diff != "" {
				t.Errorf("the granting policies (-want +got):\n%s", diff)
			}
			if _, allowed := s.Keep(new, old, tc.user); allowed && tc.granting == nil {
				t.Error("Keep allows what no policy grants")
			}
		})
	}
}

func TestUnknownNamespaceMatchesNoSelector(t *testing.T) {
	notProd := func(s *v1alpha1.JobUpdatePolicySpec) {
		s.NamespaceSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
			{Key: "env", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"prod"}},
		}}
	}
	s := compiled(t, granting("p", []string{"spec.suspend"}, notProd))
	new, old := update(t, suspend)
	for name, tc := range map[string]struct {
		namespace labels.Set
		refused   int
	}{
		"not known":       {nil, 1},
		"without a label": {labels.Set{}, 0},
		"prod":            {labels.Set{"env": "prod"}, 1},
	} {
		if refused := s.Judge(v1Job(t, new), v1Job(t, old), anyone, tc.namespace).Refused(); len(refused) != tc.refused {
			t.Errorf("%s: refused: %q, want %d", name, refused, tc.refused)
		}
	}
}

func TestWithoutPoliciesNothingChanges(t *testing.T) {
	empty, _ := Compile(nil)
	for name, s := range map[string]*Snapshot{"the zero Snapshot": {}, "no policies": empty} {
		for change, tc := range allowedChanges {
			new, old := update(t, tc.send)
			v := s.Judge(v1Job(t, new), v1Job(t, old), collector, labels.Set{})
			if len(v.Refused()) != len(v.Changes) {
				t.Errorf("%s: %s: not all of %v is refused", name, change, v.Changes)
			}
			if _, allowed := s.Keep(new, old, collector); allowed != (len(v.Changes) == 0) {
				t.Errorf("%s: %s: Keep allows it: %t", name, change, allowed)
			}
		}
	}
}

func TestAllowingPolicyOutweighsWarningOnes(t *testing.T) {
	all := granting("warn-all", []string{"*"}, warning)
	limit := granting("limit", []string{"spec.backoffLimit"}, warning)
	s := compiled(t, append(Bootstrap(), all, limit, granting("suspend", []string{"spec.suspend"}))...)
	new, old := update(t, func(j *batchv1.Job) {
		j.Labels["app"] = "x"
		j.Spec.Suspend = ptr.To(true)
		j.Spec.BackoffLimit = ptr.To[int32](1)
		j.Annotations["new"] = ""
	})
	v := s.Judge(v1Job(t, new), v1Job(t, old), anyone, nil)
	want := []Change{
		{Path: `metadata.annotations["new"]`, Policies: []string{"warn-all"}, Warn: true},
		{Path: `metadata.labels["app"]`, Policies: []string{"default"}},
		{Path: "spec.backoffLimit", Policies: []string{"limit", "warn-all"}, Warn: true},
		{Path: "spec.suspend", Policies: []string{"suspend"}},
	}
	if diff := cmp.Diff(want, v.Changes); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(new, settled(t, v, new, old)); diff != "" {
		t.Errorf("the Job to store (-sent +stored):\n%s", diff)
	}
	// Keep must leave it to Judge, or nobody would be warned.
	if _, allowed := s.Keep(new, old, anyone); allowed {
		t.Error("Keep allows what is to be warned about")
	}
	if _, allowed := compiled(t, all).Keep(new, old, anyone); allowed {
		t.Error("Keep allows what is to be warned about, if all is")
	}
}

func TestKeepAllowsFieldsGrantedAsAWhole(t *testing.T) {
	new, old := update(t, func(j *batchv1.Job) { suspend(j); j.Annotations = nil; j.Labels["app"] = "x" })
	for name, tc := range map[string]struct {
		policies []*v1alpha1.JobUpdatePolicy
		granting []string
	}{
		"all of it":             {[]*v1alpha1.JobUpdatePolicy{granting("all", []string{"*"})}, []string{"all"}},
		"the parents":           {[]*v1alpha1.JobUpdatePolicy{granting("m", []string{"metadata"}), granting("s", []string{"spec"})}, []string{"m", "s"}},
		"the fields":            {[]*v1alpha1.JobUpdatePolicy{granting("p", []string{"spec.suspend", "metadata.labels", "metadata.annotations"}, to("User", "alice"))}, []string{"p"}},
		"not all of them":       {[]*v1alpha1.JobUpdatePolicy{granting("p", []string{"spec.suspend", "metadata.annotations"})}, nil},
		"a part of a field":     {[]*v1alpha1.JobUpdatePolicy{granting("p", []string{"spec", "metadata.labels", "metadata.annotations[*]"})}, nil},
		"in some namespaces":    {[]*v1alpha1.JobUpdatePolicy{granting("p", []string{"*"}, inNamespaces("env", "test"))}, nil},
		"of some Jobs":          {[]*v1alpha1.JobUpdatePolicy{granting("p", []string{"*"}, ofJobs("app", "render"))}, nil},
		"to another user":       {[]*v1alpha1.JobUpdatePolicy{granting("p", []string{"*"}, to("User", "bob"))}, nil},
		"with a warning":        {[]*v1alpha1.JobUpdatePolicy{granting("p", []string{"*"}, warning)}, nil},
		"some with a warning":   {[]*v1alpha1.JobUpdatePolicy{granting("m", []string{"metadata"}), granting("s", []string{"spec"}, warning)}, nil},
		"a warning besides all": {[]*v1alpha1.JobUpdatePolicy{granting("m", []string{"*"}), granting("s", []string{"spec"}, warning)}, []string{"m"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := compiled(t, tc.policies...)
			kept, allowed := s.Keep(new, old, anyone)
			if allowed != (tc.granting != nil) {
				t.Fatalf("allowed: %t", allowed)
			}
			if !allowed {
				return
			}
			if diff := cmp.Diff(new, kept); diff != "" {
				t.Errorf("the Job to store (-sent +stored):\n%s", diff)
			}
			if diff := cmp.Diff(tc.granting, s.Granting(new, old, anyone)); diff != "" {
				t.Errorf("granting policies (-want +got):\n%s", diff)
			}
		})
	}
}

// What a policy grants in one place must not carry another form of what it does not grant.
func TestGrantedUpdateKeepsTheStoredFormOfAllElse(t *testing.T) {
	send := func(j *batchv1.Job) {
		mainContainer(j).Image = "x"
		mainContainer(j).Resources.Requests[corev1.ResourceMemory] = resource.MustParse("1073741824")
		podSpec(j).Volumes[0].EmptyDir.SizeLimit = ptr.To(resource.MustParse("1024Mi"))
		podSpec(j).NodeSelector["a"] = "b"
		j.Spec.Template.Annotations = map[string]string{}
	}
	new, old := update(t, send)
	s := compiled(t, granting("p", []string{"spec.template.spec.containers[*].image", `spec.template.spec.nodeSelector["a"]`}))
	v := s.Judge(v1Job(t, new), v1Job(t, old), anyone, nil)
	if refused := v.Refused(); len(refused) > 0 {
		t.Fatalf("refused: %q", refused)
	}
	want, _ := update(t, func(j *batchv1.Job) { mainContainer(j).Image = "x"; podSpec(j).NodeSelector["a"] = "b" })
	got := settled(t, v, new, old)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the Job to store (-want +got):\n%s", diff)
	}
	memory := v1Job(t, got).Spec.Template.Spec.Containers[0].Resources.Requests[corev1.ResourceMemory]
	if memory.String() != "1Gi" {
		t.Errorf("the memory is stored as %s", memory.String())
	}
}

func TestRefusalTellsWhatIsGranted(t *testing.T) {
	s := compiled(t, append(Bootstrap(), granting("p", []string{"spec.suspend", "metadata.labels"}, to("User", "alice")), granting("q", []string{"*"}, to("User", "bob")))...)
	new, old := update(t, func(j *batchv1.Job) { j.Spec.BackoffLimit = nil })
	want := []string{"metadata.labels", "spec.completions", "spec.parallelism", "spec.selector", "spec.suspend"}
	if diff := cmp.Diff(want, s.Judge(v1Job(t, new), v1Job(t, old), anyone, nil).Granted); diff != "" {
		t.Errorf("granted (-want +got):\n%s", diff)
	}
}

func TestWhatIsWrongWithAPolicyGrantsNothing(t *testing.T) {
	everybody := func(change option) *v1alpha1.JobUpdatePolicy { return granting("p", []string{"*"}, change) }
	for name, tc := range map[string]struct {
		policy  *v1alpha1.JobUpdatePolicy
		wrong   string
		refused []Path
	}{
		"an unknown field beside a known one": {
			granting("p", []string{"spec.suspend", "spec.future"}), "a batch/v1 Job has no field spec.future",
			[]Path{"spec.backoffLimit"},
		},
		"an unknown kind of subject": {everybody(to("Robot", "r2")), `unknown kind of subject "Robot"`, []Path{"spec.backoffLimit", "spec.suspend"}},
		"an unknown operator": {everybody(func(s *v1alpha1.JobUpdatePolicySpec) {
			s.JobSelector = &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Near"}}}
		}), "jobSelector: ", []Path{"spec.backoffLimit", "spec.suspend"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, wrong := Compile([]*v1alpha1.JobUpdatePolicy{tc.policy})
			if err := wrong["p"]; err == nil || !strings.Contains(err.Error(), tc.wrong) {
				t.Errorf("the error is %v, want %s", err, tc.wrong)
			}
			new, old := update(t, func(j *batchv1.Job) { suspend(j); j.Spec.BackoffLimit = nil })
			if diff := cmp.Diff(tc.refused, s.Judge(v1Job(t, new), v1Job(t, old), anyone, labels.Set{}).Refused()); diff != "" {
				t.Errorf("refused (-want +got):\n%s", diff)
			}
		})
	}
	for name, change := range map[string]func(*v1alpha1.JobUpdatePolicySpec){
		"a missing selector of namespaces": func(s *v1alpha1.JobUpdatePolicySpec) { s.NamespaceSelector = nil },
		"a missing selector of Jobs":       func(s *v1alpha1.JobUpdatePolicySpec) { s.JobSelector = nil },
		"an unknown action":                func(s *v1alpha1.JobUpdatePolicySpec) { s.Action = "Maybe" },
	} {
		p := granting("p", []string{"*"})
		change(&p.Spec)
		// Another that selects all must not make this one do so.
		s, _ := Compile([]*v1alpha1.JobUpdatePolicy{granting("a", []string{"metadata.labels"}), p})
		new, old := update(t, suspend)
		if refused := s.Judge(v1Job(t, new), v1Job(t, old), anyone, labels.Set{}).Refused(); len(refused) == 0 {
			t.Errorf("%s grants all", name)
		}
	}
}
