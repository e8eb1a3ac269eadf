// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

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

// clientSideApply returns a session with the Job as standard input and the arguments that apply it.
func clientSideApply(s session.Session, job *batchv1.Job) (session.Session, []string) {
	s.T.Helper()
	return s.WithStdin(session.Manifest(s.T, job)), []string{"apply", "--filename=-"}
}

func parallelism(n int32) change { return func(j *batchv1.Job) { j.Spec.Parallelism = &n } }

// The namespace and the group come from the example.
func TestExampleClientSideApplyGrantsGroup(t *testing.T) {
	t.Parallel()
	policy := readExample(t, "client-side-apply")
	dev := session.InNamespace(t, cluster, policy.spec.NamespaceSelector.MatchLabels["kubernetes.io/metadata.name"])
	elsewhere := session.New(t, cluster)
	member, outsider := dev.Editor("member", policy.spec.Subjects[0].Name), dev.Editor("outsider")
	elsewhere.Run("create", "rolebinding", "member", "--clusterrole=edit", "--user=member-"+dev.Namespace)
	memberElsewhere := elsewhere.As("member-"+dev.Namespace, policy.spec.Subjects[0].Name)
	for _, s := range []session.Session{member, memberElsewhere} {
		first, args := clientSideApply(s, session.NewJob("pi"))
		first.Run(args...)
		again, args := clientSideApply(s, session.NewJob("pi", parallelism(2)))
		again.ExpectDenied(args, lastApplied)
	}

	applyExample(dev, policy)
	again, args := clientSideApply(member, session.NewJob("pi", parallelism(2)))
	again.RunEventually(args...)
	labeled, args := clientSideApply(member, session.NewJob("pi", parallelism(3), func(j *batchv1.Job) { j.Labels = map[string]string{"tier": "batch"} }))
	labeled.Run(args...)
	if got := dev.JobField("pi", ".spec.parallelism") + dev.JobField("pi", ".metadata.labels.tier"); got != "3batch" {
		t.Errorf("parallelism and label are %s after apply, want 3batch", got)
	}

	image, args := clientSideApply(member, session.NewJob("pi", func(j *batchv1.Job) { j.Spec.Template.Spec.Containers[0].Image = "example.com/other" }))
	image.ExpectDenied(args, `spec.template.spec.containers[name="main"].image`)
	for _, s := range []session.Session{outsider, memberElsewhere} {
		other, args := clientSideApply(s, session.NewJob("pi", parallelism(4)))
		other.ExpectDenied(args, lastApplied)
	}
}

// Argo CD uses kubectl's code to apply, so the test uses kubectl.
func TestExampleArgoCDAllowsApplyAndHooks(t *testing.T) {
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
		s, args := clientSideApply(s, job)
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
	expectDenied(s, c.put("pi", withoutFinalizer(finalizer)), `metadata.finalizers["`+finalizer+`"]`)

	applyExample(s, policy)
	again.RunEventually(args...)
	if got := s.Job("pi"); got.Annotations["argocd.argoproj.io/tracking-id"] != "two" || *got.Spec.Parallelism != 2 {
		t.Errorf("annotations are %v and parallelism is %d after apply", got.Annotations, *got.Spec.Parallelism)
	}
	retryWrite(s, func() error { return c.put("pi", withoutFinalizer(finalizer)) })
	expectDenied(s, c.put("pi", withoutFinalizer("example.com/other")), `metadata.finalizers["example.com/other"]`)
	expectDenied(s, c.put("pi", func(j *batchv1.Job) { j.Annotations["other"] = "" }), `metadata.annotations["other"]`)
	// Remove the finalizers, so that the namespace can be deleted.
	s.Run("patch", "job", "pi", "--type=merge", `--patch={"metadata": {"finalizers": null}}`,
		"--as=system:serviceaccount:kube-system:generic-garbage-collector", "--as-group=system:masters")
}

func TestExampleHelmAllowsAdoption(t *testing.T) {
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
		t.Errorf("annotations are %v and labels are %v after the patch", got.Annotations, got.Labels)
	}
	deployer.ExpectDenied([]string{"annotate", "job", "pi", "meta.helm.sh/other=a"}, `metadata.annotations["meta.helm.sh/other"]`)
}

// The shipped example applies to the whole cluster, so it would turn the denials that other tests
// expect into warnings. The test adds a namespaceSelector and renames the policy.
func TestExampleWarnAllDeniesNothing(t *testing.T) {
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
	s.Eventually("update with warnings", func() (err error) {
		_, stderr, err = s.Try(update...)
		return err
	})
	for _, path := range []string{`metadata.annotations["a"]`, `metadata.finalizers["example.com/keep"]`, "spec.backoffLimit", "spec.suspend"} {
		if want := "Warning: " + path + ": changed; only granted with the action Warn, by JobUpdatePolicy " + name; !strings.Contains(stderr, want) {
			t.Errorf("kubectl did not print %q: %s", want, stderr)
		}
	}
	if strings.Contains(stderr, "spec.parallelism") {
		t.Errorf("kubectl warned about a field that another policy allows: %s", stderr)
	}
	// Kubernetes' own validation still rejects changes of the template.
	_, _, err := s.Try("patch", "job", "pi", "--type=strategic", `--patch={"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "example.com/other"}]}}}}`)
	if err == nil || !strings.Contains(err.Error(), "field is immutable") {
		t.Errorf("image change: got error %v, want field is immutable", err)
	}
	s.Run(session.MergePatch("pi", `{"metadata": {"finalizers": null}}`)...)
}
