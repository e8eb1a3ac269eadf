// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

func TestSetDefaults_JobUpdatePolicySpec(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := Install(scheme); err != nil {
		t.Fatal(err)
	}
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}
	for name, tc := range map[string]struct{ given, want JobUpdatePolicySpec }{
		"empty": {
			JobUpdatePolicySpec{},
			JobUpdatePolicySpec{NamespaceSelector: &metav1.LabelSelector{}, JobSelector: &metav1.LabelSelector{}, Action: Allow},
		},
		"all fields set": {
			JobUpdatePolicySpec{NamespaceSelector: selector, JobSelector: selector, Action: Warn, Subjects: []rbacv1.Subject{{Kind: "User", APIGroup: "x"}}},
			JobUpdatePolicySpec{NamespaceSelector: selector, JobSelector: selector, Action: Warn, Subjects: []rbacv1.Subject{{Kind: "User", APIGroup: "x"}}},
		},
		"API group of subjects": {
			JobUpdatePolicySpec{Subjects: []rbacv1.Subject{{Kind: "User"}, {Kind: "Group"}, {Kind: "ServiceAccount"}, {Kind: "Robot"}}},
			JobUpdatePolicySpec{
				Subjects: []rbacv1.Subject{
					{Kind: "User", APIGroup: rbacv1.GroupName}, {Kind: "Group", APIGroup: rbacv1.GroupName}, {Kind: "ServiceAccount"}, {Kind: "Robot"},
				},
				NamespaceSelector: &metav1.LabelSelector{}, JobSelector: &metav1.LabelSelector{}, Action: Allow,
			},
		},
	} {
		p := &JobUpdatePolicy{Spec: tc.given}
		scheme.Default(p)
		if diff := cmp.Diff(tc.want, p.Spec); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
