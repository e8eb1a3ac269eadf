// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"

	"github.com/batchgate/batchgate/test/e2e/internal/session"
)

// The namespace comes from the example. Argo CD uses kubectl's code to apply, so the test uses kubectl.
func TestExampleArgoCDImpersonationLimitedToNamespace(t *testing.T) {
	t.Parallel()
	const finalizer = "argocd.argoproj.io/hook-finalizer"
	policy := readExample(t, "argo-cd-impersonation")
	account := policy.spec.Subjects[0]
	s, elsewhere := session.InNamespace(t, cluster, account.Namespace), session.New(t, cluster)
	s.Run("apply", "--filename=artifacts/examples/rbac-argo-cd-impersonation.yaml")
	elsewhere.Run("create", "rolebinding", "deployer", "--clusterrole=edit", "--serviceaccount="+account.Namespace+":"+account.Name)
	c, other := asServiceAccount(s, account), asServiceAccount(elsewhere, account)
	hook := func(id string, n int32) (session.Session, []string) {
		input, args := clientSideApply(s, session.NewJob("hook", parallelism(n), func(j *batchv1.Job) {
			j.Annotations["argocd.argoproj.io/tracking-id"] = id
			j.Finalizers = []string{finalizer}
		}))
		return input, append(args, "--as="+c.user, "--field-manager=argocd-controller")
	}
	first, args := hook("one", 1)
	first.RunEventually(args...) // kube-apiserver may not know the role yet
	elsewhere.CreateJob(session.NewJob("hook"))

	// removeHookFinalizer of Argo CD sends a PUT.
	finish := func() error {
		return c.put("hook", func(j *batchv1.Job) {
			j.Finalizers = slices.DeleteFunc(j.Finalizers, func(f string) bool { return f == finalizer })
		})
	}
	err := finish()
	expectDenied(s, err, `metadata.finalizers["`+finalizer+`"]`)
	if err != nil && !strings.Contains(err.Error(), `"`+c.user+`"`) {
		t.Errorf("denial does not name %s: %v", c.user, err)
	}
	again, args := hook("two", 2)
	again.ExpectDenied(args, `metadata.annotations["argocd.argoproj.io/tracking-id"]`, lastApplied)

	applyExample(s, policy)
	again.RunEventually(args...)
	if got := s.Job("hook"); got.Annotations["argocd.argoproj.io/tracking-id"] != "two" || *got.Spec.Parallelism != 2 {
		t.Errorf("annotations are %v and parallelism is %d after apply", got.Annotations, *got.Spec.Parallelism)
	}
	if err := finish(); err != nil {
		t.Error(err)
	}
	if got := s.Job("hook").Finalizers; len(got) > 0 {
		t.Errorf("finalizers are %v after the hook has ended", got)
	}

	expectDenied(s, c.put("hook", func(j *batchv1.Job) { j.Annotations["argocd.argoproj.io/sync-options"] = "Force=true" }),
		`metadata.annotations["argocd.argoproj.io/sync-options"]`)
	s.Eventually("be denied in another namespace", func() error {
		err := other.put("hook", func(j *batchv1.Job) {
			j.Annotations = map[string]string{"argocd.argoproj.io/tracking-id": "two"}
		})
		return session.CheckDenied(err, `metadata.annotations["argocd.argoproj.io/tracking-id"]`)
	})
}
