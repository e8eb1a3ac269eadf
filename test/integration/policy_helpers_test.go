package integration

import (
	"context"
	"fmt"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	policyclient "github.com/batchgate/batchgate/pkg/generated/clientset/versioned/typed/policy/v1alpha1"
)

const policiesPath = "/apis/policy.batchgate.io/v1alpha1/jobupdatepolicies"

func policyKey(name string) string {
	return "/registry/policy.batchgate.io/jobupdatepolicies/" + name
}

// policies returns the generated client for the user.
func (u *user) policies(t testing.TB) policyclient.JobUpdatePolicyInterface {
	t.Helper()
	client, err := policyclient.NewForConfigAndClient(&rest.Config{Host: u.server.url, QPS: -1}, u.http)
	if err != nil {
		t.Fatalf("making a client: %v", err)
	}
	return client.JobUpdatePolicies()
}

// policyFor returns a policy that allows fields to everybody in one namespace.
func policyFor(namespace string, fields ...string) *v1alpha1.JobUpdatePolicy {
	return &v1alpha1.JobUpdatePolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "for-" + namespace},
		Spec: v1alpha1.JobUpdatePolicySpec{
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": namespace}},
			Fields:            fields,
		},
	}
}

// grant creates a policy on the shared server and waits until it is in force.
func createPolicy(t *testing.T, p *v1alpha1.JobUpdatePolicy) *v1alpha1.JobUpdatePolicy {
	t.Helper()
	created, err := shared.admin.policies(t).Create(t.Context(), p, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("creating the policy %s: %v", p.Name, err)
	}
	t.Cleanup(func() { _ = shared.admin.policies(t).Delete(context.Background(), p.Name, metav1.DeleteOptions{}) })
	return waitForPolicyReady(t, shared.admin, created)
}

// awaitReady waits until the server has seen to this generation of a policy.
func waitForPolicyReady(t testing.TB, u *user, p *v1alpha1.JobUpdatePolicy) *v1alpha1.JobUpdatePolicy {
	t.Helper()
	var seen *v1alpha1.JobUpdatePolicy
	eventually(t, "see to the policy "+p.Name, func(ctx context.Context) error {
		var err error
		if seen, err = u.policies(t).Get(ctx, p.Name, metav1.GetOptions{}); err != nil {
			return err
		}
		if seen.Status.ObservedGeneration < p.Generation {
			return fmt.Errorf("observed is generation %d, not %d", seen.Status.ObservedGeneration, p.Generation)
		}
		return nil
	})
	if !meta.IsStatusConditionTrue(seen.Status.Conditions, v1alpha1.ConditionReady) {
		t.Fatalf("the policy %s is not ready: %+v", p.Name, seen.Status)
	}
	return seen
}

// suspension is a change that only a policy grants.
const suspendPatch = `[{"op":"replace","path":"/spec/suspend","value":true}]`
