// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"context"
	"errors"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/controller/jobupdatepolicy/bootstrappolicy"
	"github.com/batchgate/batchgate/test/e2e/internal/session"
)

// restartBatchgate starts Batchgate even if stopping it failed, because other tests need it.
func restartBatchgate(ctx context.Context) error {
	return errors.Join(cluster.Batchgate.Stop(), cluster.StartBatchgate(ctx))
}

// recreateBootstrapPolicies makes Batchgate recreate the bootstrap policies after a test that changes
// them. All other tests rely on them.
func recreateBootstrapPolicies(t *testing.T) {
	t.Helper()
	client := session.Policies(t, cluster)
	t.Cleanup(func() {
		for _, p := range bootstrappolicy.Policies() {
			session.Eventually(t, "delete the bootstrap policies", func() error {
				err := client.Delete(context.Background(), p.Name, metav1.DeleteOptions{})
				if apierrors.IsNotFound(err) {
					return nil
				}
				return err
			})
		}
		if err := restartBatchgate(context.Background()); err != nil {
			t.Fatal(err)
		}
		session.Eventually(t, "read policies and Jobs after the restart", func() error {
			_, err := client.Get(context.Background(), "default", metav1.GetOptions{})
			if err == nil {
				_, err = cluster.Client.BatchV1().Jobs(metav1.NamespaceDefault).List(context.Background(), metav1.ListOptions{})
			}
			return err
		})
	})
}

func TestBootstrapPoliciesRestoredOnStart(t *testing.T) {
	// Cleanups run in reverse order, so Batchgate runs again before the policies are recreated.
	recreateBootstrapPolicies(t)
	s := session.Disrupt(t, cluster)
	s.CreateJob(session.NewJob("pi"))
	label := func(value string) []string { return []string{"label", "--overwrite", "job", "pi", "by=" + value} }
	annotation := []string{"annotate", "job", "pi", "a=b"}
	restart := func() {
		t.Helper()
		if err := restartBatchgate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	// After the restart, kube-apiserver may consider Batchgate unavailable for a moment.
	expectFields := func(name, want string) {
		t.Helper()
		s.Eventually("read policy "+name, func() error {
			got, _, err := s.Try("get", "jup", name, "--output=jsonpath={.spec.fields}")
			if err == nil && got != want {
				t.Fatalf("policy %s has fields %s, want %s", name, got, want)
			}
			return err
		})
	}
	original, collector := s.PolicyField("default", ".spec.fields"), s.PolicyField("garbage-collector", ".spec.fields")

	// Batchgate keeps the admin's fields only if the policy has the annotation autoupdate=false.
	const strict = `["metadata.labels","metadata.annotations"]`
	s.Run("annotate", "--overwrite", "jup", "default", "policy.batchgate.io/autoupdate=false")
	s.Run("patch", "jup", "default", "--type=merge", `--patch={"spec": {"fields": `+strict+`}}`)
	s.Run("patch", "jup", "garbage-collector", "--type=merge", `--patch={"spec": {"fields": ["metadata.finalizers"]}}`)
	restart()
	expectFields("default", strict)
	expectFields("garbage-collector", collector)
	s.RunEventually(annotation...)
	s.ExpectDenied(session.MergePatch("pi", `{"spec": {"parallelism": 2}}`), "spec.parallelism")

	s.RunEventually("annotate", "jup", "default", "policy.batchgate.io/autoupdate-")
	restart()
	expectFields("default", original)
	s.ExpectDenied([]string{"annotate", "job", "pi", "c=d"}, `metadata.annotations["c"]`)
	s.RunEventually(session.MergePatch("pi", `{"spec": {"parallelism": 2}}`)...)

	// Without the default policy, the gate denies every user until the next start.
	s.RunEventually("delete", "jup", "default", "--ignore-not-found")
	s.ExpectDenied(label("nobody"), `metadata.labels["by"]`)
	restart()
	expectFields("default", original)
	s.RunEventually(label("somebody")...)
	if got := s.PolicyField("default", ".metadata.annotations"); got != `{"policy.batchgate.io/autoupdate":"true"}` {
		t.Errorf("recreated policy has annotations %s", got)
	}
}

// Jobs work without the policy API, and policies work while kube-apiserver serves Jobs.
func TestJobsAndPoliciesServedIndependently(t *testing.T) {
	t.Cleanup(func() {
		if err := cluster.RegisterPolicyAPI(context.Background()); err != nil {
			t.Error(err)
		}
	})
	s := session.New(t, cluster)
	s.CreateJob(session.NewJob("pi"))
	name := s.CreatePolicy(s.NewPolicy("kept", session.Fields("spec.backoffLimit")))

	session.RollBack(t, cluster)
	s.Eventually("have Jobs served by kube-apiserver", func() error { return s.Annotate("native") })
	s.Run("patch", "jup", name, "--type=merge", `--patch={"spec": {"fields": ["spec.backoffLimit", "spec.suspend"]}}`)
	s.Run("wait", "jup", name, "--for=jsonpath={.status.observedGeneration}=2", "--timeout=110s")
	session.TakeOver(t, cluster)

	s.Run("delete", "apiservice", "v1alpha1.policy.batchgate.io")
	s.Eventually("have no policy API", func() error {
		_, _, err := s.Try("get", "jup")
		if err == nil {
			return errors.New("policies are still served")
		}
		if !strings.Contains(err.Error(), "the server could not find the requested resource") && !strings.Contains(err.Error(), "doesn't have a resource type") {
			return err
		}
		return nil
	})
	s.ExpectDenied([]string{"annotate", "job", "pi", "a=b"}, `metadata.annotations["a"]`)
	s.RunEventually(session.MergePatch("pi", `{"spec": {"backoffLimit": 1, "suspend": true}}`)...)
	s.ExpectDenied(session.MergePatch("pi", `{"spec": {"activeDeadlineSeconds": 1}}`), "spec.activeDeadlineSeconds")

	if err := cluster.RegisterPolicyAPI(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.RunEventually("get", "jup", name)
}
