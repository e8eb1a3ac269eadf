package policy

import (
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"

	"github.com/batchgate/batchgate/test/e2e/internal/session"
)

const lastApplied = `metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"]`

// applies returns arguments that apply a Job on the client's side, and the Job.
func applies(s session.Session, job *batchv1.Job) (session.Session, []string) {
	s.T.Helper()
	return s.WithStdin(session.Manifest(s.T, job)), []string{"apply", "--filename=-"}
}

func parallelism(n int32) change { return func(j *batchv1.Job) { j.Spec.Parallelism = &n } }

// The namespace and the group are those of the example.
func TestClientSideApplyComesBackForAGroupInANamespace(t *testing.T) {
	t.Parallel()
	policy := readExample(t, "client-side-apply")
	dev := session.InNamespace(t, cluster, policy.spec.NamespaceSelector.MatchLabels["kubernetes.io/metadata.name"])
	elsewhere := session.New(t, cluster)
	member, outsider := dev.Editor("member", policy.spec.Subjects[0].Name), dev.Editor("outsider")
	elsewhere.Run("create", "rolebinding", "member", "--clusterrole=edit", "--user=member-"+dev.Namespace)
	memberElsewhere := elsewhere.As("member-"+dev.Namespace, policy.spec.Subjects[0].Name)
	for _, s := range []session.Session{member, memberElsewhere} {
		first, args := applies(s, session.NewJob("pi"))
		first.Run(args...)
		again, args := applies(s, session.NewJob("pi", parallelism(2)))
		again.ExpectDenied(args, lastApplied)
	}

	applyExample(dev, policy)
	again, args := applies(member, session.NewJob("pi", parallelism(2)))
	again.RunEventually(args...)
	labelled, args := applies(member, session.NewJob("pi", parallelism(3), func(j *batchv1.Job) { j.Labels = map[string]string{"tier": "batch"} }))
	labelled.Run(args...)
	if got := dev.JobField("pi", ".spec.parallelism") + dev.JobField("pi", ".metadata.labels.tier"); got != "3batch" {
		t.Errorf("apply left parallelism and label at %s", got)
	}

	image, args := applies(member, session.NewJob("pi", func(j *batchv1.Job) { j.Spec.Template.Spec.Containers[0].Image = "example.com/other" }))
	image.ExpectDenied(args, `spec.template.spec.containers[name="main"].image`)
	for _, s := range []session.Session{outsider, memberElsewhere} {
		other, args := applies(s, session.NewJob("pi", parallelism(4)))
		other.ExpectDenied(args, lastApplied)
	}
}

// Argo CD applies with kubectl's own code.
func TestArgoCDAppliesAndFinishesHooksByItsExample(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	policy := readExample(t, "argo-cd")
	c := newTool(s, policy)
	const finalizer = "argocd.argoproj.io/hook-finalizer"
	tracked := func(id string) change {
		return func(j *batchv1.Job) {
			j.Annotations = map[string]string{"argocd.argoproj.io/tracking-id": id}
			j.Finalizers = []string{finalizer, "example.com/other"}
		}
	}
	apply := func(job *batchv1.Job) (session.Session, []string) {
		s, args := applies(s, job)
		return s, append(args, "--as="+c.user, "--field-manager=argocd-controller")
	}
	first, args := apply(session.NewJob("pi", tracked("one")))
	first.Run(args...)
	again, args := apply(session.NewJob("pi", tracked("two"), parallelism(2)))
	again.ExpectDenied(args, `metadata.annotations["argocd.argoproj.io/tracking-id"]`, lastApplied)
	withoutFinalizer := func(name string) change {
		return func(j *batchv1.Job) {
			j.Finalizers = slices.DeleteFunc(j.Finalizers, func(f string) bool { return f == name })
		}
	}
	refusesWrite(s, c.put("pi", withoutFinalizer(finalizer)), `metadata.finalizers["`+finalizer+`"]`)

	applyExample(s, policy)
	again.RunEventually(args...)
	if got := s.Job("pi"); got.Annotations["argocd.argoproj.io/tracking-id"] != "two" || *got.Spec.Parallelism != 2 {
		t.Errorf("apply left annotations %v and parallelism %d", got.Annotations, *got.Spec.Parallelism)
	}
	allowsWrite(s, func() error { return c.put("pi", withoutFinalizer(finalizer)) })
	refusesWrite(s, c.put("pi", withoutFinalizer("example.com/other")), `metadata.finalizers["example.com/other"]`)
	refusesWrite(s, c.put("pi", func(j *batchv1.Job) { j.Annotations["other"] = "" }), `metadata.annotations["other"]`)
	// Let the Job go with its namespace.
	s.Run("patch", "job", "pi", "--type=merge", `--patch={"metadata": {"finalizers": null}}`,
		"--as=system:serviceaccount:kube-system:generic-garbage-collector", "--as-group=system:masters")
}

func TestHelmTakesOverAJobByItsExample(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	policy := readExample(t, "helm")
	deployer, other := s.Editor("deployer", policy.spec.Subjects[0].Name), s.Editor("other")
	s.CreateJob(session.NewJob("pi"))
	owned := []string{"patch", "job", "pi", "--type=strategic", `--patch={"metadata": {
		"annotations": {"meta.helm.sh/release-name": "pi", "meta.helm.sh/release-namespace": "` + s.Namespace + `"},
		"labels": {"app.kubernetes.io/managed-by": "Helm"}}}`}
	paths := []string{`metadata.annotations["meta.helm.sh/release-name"]`, `metadata.annotations["meta.helm.sh/release-namespace"]`}
	deployer.ExpectDenied(owned, paths...)
	applyExample(s, policy)
	other.ExpectDenied(owned, paths...)
	deployer.RunEventually(owned...)
	if got := s.Job("pi"); len(got.Annotations) != 2 || got.Labels["app.kubernetes.io/managed-by"] != "Helm" {
		t.Errorf("the patch left annotations %v and labels %v", got.Annotations, got.Labels)
	}
	deployer.ExpectDenied([]string{"annotate", "job", "pi", "meta.helm.sh/other=a"}, `metadata.annotations["meta.helm.sh/other"]`)
}

// As it is shipped the example is for the whole cluster, where it would warn the other tests
// of what they expect to be refused: here it gets a namespaceSelector, and a name to match.
func TestWarnAllRefusesNothingAndNamesEverything(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	policy := readExample(t, "warn-all")
	s.CreateJob(session.NewJob("pi"))
	update := session.MergePatch("pi", `{"metadata": {"annotations": {"a": "b"}, "finalizers": ["example.com/keep"]}, "spec": {"backoffLimit": 1, "parallelism": 2, "suspend": true}}`)
	s.ExpectDenied(update, `metadata.annotations["a"]`, `metadata.finalizers["example.com/keep"]`, "spec.backoffLimit", "spec.suspend")

	name := s.CreatePolicy(s.NewPolicy(policy.name, func(spec *v1alpha1.JobUpdatePolicySpec) {
		*spec = policy.spec
		spec.NamespaceSelector = s.NamespaceSelector()
	}))
	var stderr string
	s.Eventually("be warned about", func() (err error) {
		_, stderr, err = s.Try(update...)
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
	_, _, err := s.Try("patch", "job", "pi", "--type=strategic", `--patch={"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "example.com/other"}]}}}}`)
	if err == nil || !strings.Contains(err.Error(), "field is immutable") {
		t.Errorf("changing the image: %v", err)
	}
	s.Run(session.MergePatch("pi", `{"metadata": {"finalizers": null}}`)...)
}
