// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package bootstrappolicy

import (
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
)

// Policies returns the bootstrap policies:
//
//   - default grants everyone the fields of the Huawei Cloud CCE API for updating a Job.
//   - garbage-collector grants the garbage collector finalizers, which implement deletion
//     propagation, and owner references, which it removes from orphans. It runs under its own
//     service account if kube-controller-manager runs with
//     --use-service-account-credentials, otherwise under the user of kube-controller-manager.
func Policies() []*v1alpha1.JobUpdatePolicy {
	policies := []*v1alpha1.JobUpdatePolicy{
		{
			ObjectMeta: metav1.ObjectMeta{Name: "default"},
			Spec: v1alpha1.JobUpdatePolicySpec{
				Fields: []string{"metadata.labels", "spec.completions", "spec.parallelism", "spec.selector"},
			},
		},
		{
			ObjectMeta: metav1.ObjectMeta{Name: "garbage-collector"},
			Spec: v1alpha1.JobUpdatePolicySpec{
				Subjects: []rbacv1.Subject{
					{Kind: rbacv1.ServiceAccountKind, Namespace: "kube-system", Name: "generic-garbage-collector"},
					{Kind: rbacv1.UserKind, Name: "system:kube-controller-manager"},
				},
				Fields: []string{"metadata.finalizers", "metadata.ownerReferences"},
			},
		},
	}
	for _, p := range policies {
		v1alpha1.SetDefaults_JobUpdatePolicySpec(&p.Spec)
	}
	return policies
}
