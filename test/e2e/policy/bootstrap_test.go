package policy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/fieldpolicy"

	"github.com/batchgate/batchgate/test/e2e/internal/session"
)

// restartBatchgate stops Batchgate and starts it again, which it does in any case: other
// tests follow.
func restartBatchgate(ctx context.Context) error {
	return errors.Join(cluster.Batchgate.Stop(), cluster.StartBatchgate(ctx))
}

// bootstrapAfterwards has the bootstrap policies made anew after a test that changes them:
// all other tests rely on them.
func bootstrapAfterwards(t *testing.T) {
	t.Helper()
	client := session.Policies(t, cluster)
	t.Cleanup(func() {
		for _, p := range fieldpolicy.Bootstrap() {
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
		session.Eventually(t, "be served again", func() error {
			_, err := client.Get(context.Background(), "default", metav1.GetOptions{})
			if err == nil {
				_, err = cluster.Client.BatchV1().Jobs(metav1.NamespaceDefault).List(context.Background(), metav1.ListOptions{})
			}
			return err
		})
	})
}

func TestBootstrapPoliciesAreRestoredAtTheStartUnlessAnnotatedOut(t *testing.T) {
	bootstrapAfterwards(t)
	s := session.Disrupt(t, cluster) // which is undone before
	s.CreateJob(session.NewJob("pi"))
	label := func(value string) []string { return []string{"label", "--overwrite", "job", "pi", "by=" + value} }
	annotation := []string{"annotate", "job", "pi", "a=b"}
	restart := func() {
		t.Helper()
		if err := restartBatchgate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	// kube-apiserver may find Batchgate unavailable for a moment after it was restarted.
	expect := func(name, want string) {
		t.Helper()
		s.Eventually("have the policy "+name, func() error {
			got, _, err := s.Try("get", "jup", name, "--output=jsonpath={.spec.fields}")
			if err == nil && got != want {
				t.Fatalf("the fields of %s are %s, want %s", name, got, want)
			}
			return err
		})
	}
	original, collector := s.PolicyField("default", ".spec.fields"), s.PolicyField("garbage-collector", ".spec.fields")

	// An admin's allow-list is kept where the admin says so, that of the collector is not.
	const strict = `["metadata.labels","metadata.annotations"]`
	s.Run("annotate", "--overwrite", "jup", "default", "policy.batchgate.io/autoupdate=false")
	s.Run("patch", "jup", "default", "--type=merge", `--patch={"spec": {"fields": `+strict+`}}`)
	s.Run("patch", "jup", "garbage-collector", "--type=merge", `--patch={"spec": {"fields": ["metadata.finalizers"]}}`)
	restart()
	expect("default", strict)
	expect("garbage-collector", collector)
	s.RunEventually(annotation...)
	s.ExpectDenied(session.MergePatch("pi", `{"spec": {"parallelism": 2}}`), "spec.parallelism")

	s.RunEventually("annotate", "jup", "default", "policy.batchgate.io/autoupdate-")
	restart()
	expect("default", original)
	s.ExpectDenied([]string{"annotate", "job", "pi", "c=d"}, `metadata.annotations["c"]`)
	s.RunEventually(session.MergePatch("pi", `{"spec": {"parallelism": 2}}`)...)

	// Without any policy the gate is closed, to everybody, until the next start.
	s.RunEventually("delete", "jup", "default", "--ignore-not-found")
	s.ExpectDenied(label("nobody"), `metadata.labels["by"]`)
	restart()
	expect("default", original)
	s.RunEventually(label("somebody")...)
	if got := s.PolicyField("default", ".metadata.annotations"); got != `{"policy.batchgate.io/autoupdate":"true"}` {
		t.Errorf("the policy that was made again has the annotations %s", got)
	}
}

// Whoever has one of the APIs is not in need of the other one.
func TestJobsAndPoliciesAreServedWithoutEachOther(t *testing.T) {
	t.Cleanup(func() {
		if err := cluster.ServePolicies(context.Background()); err != nil {
			t.Error(err)
		}
	})
	s := session.New(t, cluster)
	s.CreateJob(session.NewJob("pi"))
	name := s.CreatePolicy(s.NewPolicy("kept", session.Fields("spec.backoffLimit")))

	session.RollBack(t, cluster)
	s.Eventually("be served by kube-apiserver", func() error { return s.Annotate("native") })
	s.Run("patch", "jup", name, "--type=merge", `--patch={"spec": {"fields": ["spec.backoffLimit", "spec.suspend"]}}`)
	s.Run("wait", "jup", name, "--for=jsonpath={.status.observedGeneration}=2", "--timeout=110s")
	session.TakeOver(t, cluster)

	s.Run("delete", "apiservice", "v1alpha1.policy.batchgate.io")
	s.Eventually("be without policies in the API", func() error {
		_, _, err := s.Try("get", "jup")
		if err == nil {
			return fmt.Errorf("they are still there")
		}
		if !strings.Contains(err.Error(), "the server could not find the requested resource") && !strings.Contains(err.Error(), "doesn't have a resource type") {
			return err
		}
		return nil
	})
	s.ExpectDenied([]string{"annotate", "job", "pi", "a=b"}, `metadata.annotations["a"]`)
	s.RunEventually(session.MergePatch("pi", `{"spec": {"backoffLimit": 1, "suspend": true}}`)...)
	s.ExpectDenied(session.MergePatch("pi", `{"spec": {"activeDeadlineSeconds": 1}}`), "spec.activeDeadlineSeconds")

	if err := cluster.ServePolicies(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.RunEventually("get", "jup", name)
}
