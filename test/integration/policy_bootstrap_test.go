// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/admission"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	"github.com/batchgate/batchgate/pkg/apiserver"
)

func TestBootstrapPoliciesCreated(t *testing.T) {
	t.Parallel()
	all := &metav1.LabelSelector{}
	want := map[string]v1alpha1.JobUpdatePolicySpec{
		"default": {
			NamespaceSelector: all, JobSelector: all, Action: v1alpha1.Allow,
			Fields: []string{"metadata.labels", "spec.completions", "spec.parallelism", "spec.selector"},
		},
		"garbage-collector": {
			NamespaceSelector: all, JobSelector: all, Action: v1alpha1.Allow,
			Fields: []string{"metadata.finalizers", "metadata.ownerReferences"},
			Subjects: []rbacv1.Subject{
				{Kind: "ServiceAccount", Namespace: "kube-system", Name: "generic-garbage-collector"},
				{Kind: "User", APIGroup: "rbac.authorization.k8s.io", Name: "system:kube-controller-manager"},
			},
		},
	}
	list, err := shared.admin.policies(t).List(t.Context(), metav1.ListOptions{LabelSelector: "policy.batchgate.io/bootstrapping"})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]v1alpha1.JobUpdatePolicySpec{}
	for i := range list.Items {
		got[list.Items[i].Name] = list.Items[i].Spec
		waitForPolicyReady(t, shared.admin, &list.Items[i])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("bootstrap policies (-want +got):\n%s", diff)
	}
}

// Each test case changes the policy default, then restarts the server on the same directory.
func TestBootstrapPoliciesRestoredAtStart(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(*testing.T, *server)
		want   []string // spec.fields of the policy default after the restart
	}{
		"edited policy restored": {
			func(t *testing.T, s *server) {
				patchDefault(t, s, `{"spec":{"fields":["spec.suspend"],"action":"Warn"}}`)
			},
			[]string{"metadata.labels", "spec.completions", "spec.parallelism", "spec.selector"},
		},
		"edited policy with autoupdate=false kept": {
			func(t *testing.T, s *server) {
				patchDefault(t, s, `{"metadata":{"annotations":{"policy.batchgate.io/autoupdate":"false"}},"spec":{"fields":["spec.suspend"]}}`)
			},
			[]string{"spec.suspend"},
		},
		"deleted policy recreated": {
			func(t *testing.T, s *server) {
				if err := s.admin.policies(t).Delete(t.Context(), "default", metav1.DeleteOptions{}); err != nil {
					t.Fatal(err)
				}
			},
			[]string{"metadata.labels", "spec.completions", "spec.parallelism", "spec.selector"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			directory := t.TempDir()
			first, err := startServer(directory, setup{})
			if err != nil {
				t.Fatal(err)
			}
			tc.change(t, first)
			if err := first.stop(); err != nil {
				t.Fatal(err)
			}
			second, err := startServer(directory, setup{})
			if err != nil {
				t.Fatal(err)
			}
			second.stopAfterTest(t)
			p, err := second.admin.policies(t).Get(t.Context(), "default", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, p.Spec.Fields); diff != "" {
				t.Errorf("spec.fields (-want +got):\n%s", diff)
			}
			if p.Spec.Action != v1alpha1.Allow {
				t.Errorf("action is %s, want Allow", p.Spec.Action)
			}
			// The policy is active as soon as the server is ready.
			second.admin.create(t, "ns", newJob(t))
			code := map[bool]int{true: http.StatusOK, false: http.StatusUnprocessableEntity}
			allowed := tc.want[0] == "metadata.labels"
			second.admin.patch(t, jobPath("ns", "pi"), mergePatch, `{"metadata":{"labels":{"a":"b"}}}`).expect(t, code[allowed])
			second.admin.patch(t, jobPath("ns", "pi"), mergePatch, `{"spec":{"suspend":true}}`).expect(t, code[!allowed])
		})
	}
}

func patchDefault(t *testing.T, s *server, patch string) {
	t.Helper()
	if _, err := s.admin.policies(t).Patch(t.Context(), "default", types.MergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
}

// A webhook that denies all writes of policies must not block all updates of Jobs. Until the server
// can restore the bootstrap policies, the stored ones are active.
func TestBootstrapPoliciesUnwritable(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	first, err := startServer(directory, setup{})
	if err != nil {
		t.Fatal(err)
	}
	patchDefault(t, first, `{"spec":{"fields":["metadata.labels"]}}`)
	first.admin.create(t, "ns", newJob(t))
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	second, err := startServer(directory, setup{config: rejectPolicyWrites})
	if err != nil {
		t.Fatal(err)
	}
	second.admin.patch(t, jobPath("ns", "pi"), mergePatch, `{"metadata":{"labels":{"a":"b"}}}`).expect(t, http.StatusOK)
	second.admin.patch(t, jobPath("ns", "pi"), mergePatch, `{"spec":{"parallelism":3}}`).expect(t, http.StatusUnprocessableEntity)
	if _, err := second.etcd.Delete(t.Context(), policyKey("default")); err != nil {
		t.Fatal(err)
	}
	if err := second.stop(); err != nil {
		t.Fatal(err)
	}
	// If a bootstrap policy is missing, the server accepts no updates of Jobs.
	third, err := startServer(directory, setup{config: rejectPolicyWrites, notReady: true})
	if err != nil {
		t.Fatal(err)
	}
	third.stopAfterTest(t)
	third.admin.patch(t, jobPath("ns", "pi"), mergePatch, `{"metadata":{"labels":{"a":"c"}}}`).expect(t, http.StatusServiceUnavailable)
}

// rejectPolicyWrites adds an admission plugin that denies all writes of policies.
func rejectPolicyWrites(config *apiserver.Config) {
	config.Generic.AdmissionControl = policyWriteRejecter{}
}

type policyWriteRejecter struct{}

func (policyWriteRejecter) Handles(admission.Operation) bool { return true }

func (policyWriteRejecter) Validate(_ context.Context, a admission.Attributes, _ admission.ObjectInterfaces) error {
	if a.GetResource().Group == policy.GroupName {
		return admission.NewForbidden(a, errors.New("denied by the test"))
	}
	return nil
}
