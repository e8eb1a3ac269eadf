// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

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

// policies returns the generated JobUpdatePolicy client for the user.
func (u *user) policies(t testing.TB) policyclient.JobUpdatePolicyInterface {
	t.Helper()
	client, err := policyclient.NewForConfigAndClient(&rest.Config{Host: u.server.url, QPS: -1}, u.http)
	if err != nil {
		t.Fatalf("creating client: %v", err)
	}
	return client.JobUpdatePolicies()
}

// policyFor returns a policy that allows all users to update the fields in one namespace.
func policyFor(namespace string, fields ...string) *v1alpha1.JobUpdatePolicy {
	return &v1alpha1.JobUpdatePolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "for-" + namespace},
		Spec: v1alpha1.JobUpdatePolicySpec{
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": namespace}},
			Fields:            fields,
		},
	}
}

// createPolicy creates a policy on the shared server and waits until it is active. It deletes
// the policy at the end of the test.
func createPolicy(t *testing.T, p *v1alpha1.JobUpdatePolicy) *v1alpha1.JobUpdatePolicy {
	t.Helper()
	created, err := shared.admin.policies(t).Create(t.Context(), p, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("creating JobUpdatePolicy %s: %v", p.Name, err)
	}
	t.Cleanup(func() { _ = shared.admin.policies(t).Delete(context.Background(), p.Name, metav1.DeleteOptions{}) })
	return waitForPolicyReady(t, shared.admin, created)
}

// waitForPolicyReady waits until the server has observed this generation of the policy. It
// fails the test if the policy is not ready then.
func waitForPolicyReady(t testing.TB, u *user, p *v1alpha1.JobUpdatePolicy) *v1alpha1.JobUpdatePolicy {
	t.Helper()
	var observed *v1alpha1.JobUpdatePolicy
	eventually(t, "observe JobUpdatePolicy "+p.Name, func(ctx context.Context) error {
		var err error
		if observed, err = u.policies(t).Get(ctx, p.Name, metav1.GetOptions{}); err != nil {
			return err
		}
		if observed.Status.ObservedGeneration < p.Generation {
			return fmt.Errorf("observed generation is %d, want %d", observed.Status.ObservedGeneration, p.Generation)
		}
		return nil
	})
	if !meta.IsStatusConditionTrue(observed.Status.Conditions, v1alpha1.ConditionReady) {
		t.Fatalf("JobUpdatePolicy %s is not ready: %+v", p.Name, observed.Status)
	}
	return observed
}

// suspendPatch is a JSON Patch that only a policy can allow.
const suspendPatch = `[{"op":"replace","path":"/spec/suspend","value":true}]`
