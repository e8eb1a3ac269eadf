package core

import (
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
)

const lastApplied = `metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"]`

// applies returns arguments that apply a Job on the client's side, and the Job.
func (s session) applies(job *batchv1.Job) (session, []string) {
	s.t.Helper()
	return s.stdin(manifest(s.t, job)), []string{"apply", "--filename=-"}
}

func parallelism(n int32) change { return func(j *batchv1.Job) { j.Spec.Parallelism = &n } }

// The namespace and the group are those of the example.
func TestClientSideApplyComesBackForAGroupInANamespace(t *testing.T) {
	t.Parallel()
	policy := readExample(t, "client-side-apply")
	dev := sessionIn(t, metav1.ObjectMeta{Name: policy.spec.NamespaceSelector.MatchLabels["kubernetes.io/metadata.name"]})
	elsewhere := newSession(t)
	member, outsider := dev.editor("member", policy.spec.Subjects[0].Name), dev.editor("outsider")
	elsewhere.run("create", "rolebinding", "member", "--clusterrole=edit", "--user=member-"+dev.namespace)
	memberElsewhere := elsewhere.as("member-"+dev.namespace, policy.spec.Subjects[0].Name)
	for _, s := range []session{member, memberElsewhere} {
		first, args := s.applies(newJob("pi"))
		first.run(args...)
		again, args := s.applies(newJob("pi", parallelism(2)))
		again.denied(args, lastApplied)
	}

	dev.applyExample(policy)
	again, args := member.applies(newJob("pi", parallelism(2)))
	again.granted(args...)
	labelled, args := member.applies(newJob("pi", parallelism(3), func(j *batchv1.Job) { j.Labels = map[string]string{"tier": "batch"} }))
	labelled.run(args...)
	if got := dev.field("pi", ".spec.parallelism") + dev.field("pi", ".metadata.labels.tier"); got != "3batch" {
		t.Errorf("apply left parallelism and label at %s", got)
	}

	image, args := member.applies(newJob("pi", func(j *batchv1.Job) { j.Spec.Template.Spec.Containers[0].Image = "example.com/other" }))
	image.denied(args, `spec.template.spec.containers[name="main"].image`)
	for _, s := range []session{outsider, memberElsewhere} {
		other, args := s.applies(newJob("pi", parallelism(4)))
		other.denied(args, lastApplied)
	}
}

// Argo CD applies with kubectl's own code.
func TestArgoCDAppliesAndFinishesHooksByItsExample(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	policy := readExample(t, "argo-cd")
	c := s.newTool(policy)
	const finalizer = "argocd.argoproj.io/hook-finalizer"
	tracked := func(id string) change {
		return func(j *batchv1.Job) {
			j.Annotations = map[string]string{"argocd.argoproj.io/tracking-id": id}
			j.Finalizers = []string{finalizer, "example.com/other"}
		}
	}
	apply := func(job *batchv1.Job) (session, []string) {
		s, args := s.applies(job)
		return s, append(args, "--as="+c.user, "--field-manager=argocd-controller")
	}
	first, args := apply(newJob("pi", tracked("one")))
	first.run(args...)
	again, args := apply(newJob("pi", tracked("two"), parallelism(2)))
	again.denied(args, `metadata.annotations["argocd.argoproj.io/tracking-id"]`, lastApplied)
	withoutFinalizer := func(name string) change {
		return func(j *batchv1.Job) {
			j.Finalizers = slices.DeleteFunc(j.Finalizers, func(f string) bool { return f == name })
		}
	}
	s.refusesWrite(c.put("pi", withoutFinalizer(finalizer)), `metadata.finalizers["`+finalizer+`"]`)

	s.applyExample(policy)
	again.granted(args...)
	if got := s.job("pi"); got.Annotations["argocd.argoproj.io/tracking-id"] != "two" || *got.Spec.Parallelism != 2 {
		t.Errorf("apply left annotations %v and parallelism %d", got.Annotations, *got.Spec.Parallelism)
	}
	s.allowsWrite(func() error { return c.put("pi", withoutFinalizer(finalizer)) })
	s.refusesWrite(c.put("pi", withoutFinalizer("example.com/other")), `metadata.finalizers["example.com/other"]`)
	s.refusesWrite(c.put("pi", func(j *batchv1.Job) { j.Annotations["other"] = "" }), `metadata.annotations["other"]`)
	// Let the Job go with its namespace.
	s.run("patch", "job", "pi", "--type=merge", `--patch={"metadata": {"finalizers": null}}`,
		"--as=system:serviceaccount:kube-system:generic-garbage-collector", "--as-group=system:masters")
}

func TestHelmTakesOverAJobByItsExample(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	policy := readExample(t, "helm")
	deployer, other := s.editor("deployer", policy.spec.Subjects[0].Name), s.editor("other")
	s.create(newJob("pi"))
	owned := []string{"patch", "job", "pi", "--type=strategic", `--patch={"metadata": {
		"annotations": {"meta.helm.sh/release-name": "pi", "meta.helm.sh/release-namespace": "` + s.namespace + `"},
		"labels": {"app.kubernetes.io/managed-by": "Helm"}}}`}
	paths := []string{`metadata.annotations["meta.helm.sh/release-name"]`, `metadata.annotations["meta.helm.sh/release-namespace"]`}
	deployer.denied(owned, paths...)
	s.applyExample(policy)
	other.denied(owned, paths...)
	deployer.granted(owned...)
	if got := s.job("pi"); len(got.Annotations) != 2 || got.Labels["app.kubernetes.io/managed-by"] != "Helm" {
		t.Errorf("the patch left annotations %v and labels %v", got.Annotations, got.Labels)
	}
	deployer.denied([]string{"annotate", "job", "pi", "meta.helm.sh/other=a"}, `metadata.annotations["meta.helm.sh/other"]`)
}

// As it is shipped the example is for the whole cluster, where it would warn the other tests
// of what they expect to be refused: here it gets a namespaceSelector, and a name to match.
func TestWarnAllRefusesNothingAndNamesEverything(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	policy := readExample(t, "warn-all")
	s.create(newJob("pi"))
	update := onJob("pi", `{"metadata": {"annotations": {"a": "b"}, "finalizers": ["example.com/keep"]}, "spec": {"backoffLimit": 1, "parallelism": 2, "suspend": true}}`)
	s.denied(update, `metadata.annotations["a"]`, `metadata.finalizers["example.com/keep"]`, "spec.backoffLimit", "spec.suspend")

	name := s.createPolicy(s.newPolicy(policy.name, func(spec *v1alpha1.JobUpdatePolicySpec) {
		*spec = policy.spec
		spec.NamespaceSelector = s.namespaceSelector()
	}))
	var stderr string
	s.eventually("be warned about", func() (err error) {
		_, stderr, err = s.try(update...)
		return err
	})
	for _, path := range []string{`metadata.annotations["a"]`, `metadata.finalizers["example.com/keep"]`, "spec.backoffLimit", "spec.suspend"} {
		if want := "Warning: " + path + ": changed with a warning, by JobUpdatePolicy " + name; !strings.Contains(stderr, want) {
			t.Errorf("kubectl does not say %q: %s", want, stderr)
		}
	}
	if strings.Contains(stderr, "spec.parallelism") {
		t.Errorf("what another policy allows is warned about: %s", stderr)
	}
	// It is kube-apiserver's own validation that holds a template then.
	_, _, err := s.try("patch", "job", "pi", "--type=strategic", `--patch={"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "example.com/other"}]}}}}`)
	if err == nil || !strings.Contains(err.Error(), "field is immutable") {
		t.Errorf("changing the image: %v", err)
	}
	s.run(onJob("pi", `{"metadata": {"finalizers": null}}`)...)
}
