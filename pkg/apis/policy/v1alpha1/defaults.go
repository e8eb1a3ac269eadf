// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

func init() { localSchemeBuilder.Register(addDefaultingFuncs) }

func addDefaultingFuncs(scheme *runtime.Scheme) error { return RegisterDefaults(scheme) }

// SetDefaults_JobUpdatePolicySpec selects all namespaces and Jobs and sets the action Allow. It
// also sets the API group of users and groups.
func SetDefaults_JobUpdatePolicySpec(spec *JobUpdatePolicySpec) {
	if spec.NamespaceSelector == nil {
		spec.NamespaceSelector = &metav1.LabelSelector{}
	}
	if spec.JobSelector == nil {
		spec.JobSelector = &metav1.LabelSelector{}
	}
	if spec.Action == "" {
		spec.Action = Allow
	}
	for i := range spec.Subjects {
		subject := &spec.Subjects[i]
		if subject.APIGroup == "" && (subject.Kind == rbacv1.UserKind || subject.Kind == rbacv1.GroupKind) {
			subject.APIGroup = rbacv1.GroupName
		}
	}
}
