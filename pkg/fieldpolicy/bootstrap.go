package fieldpolicy

import (
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
)

// Bootstrap returns the policies that a server makes where they are missing: the allow-list
// that holds for everybody, and what the garbage collector needs besides, which removes the
// finalizers that deletion propagation is made of and the owner references of orphans. It
// runs under its own service account where kube-controller-manager runs with
// --use-service-account-credentials, else under that of kube-controller-manager.
func Bootstrap() []*v1alpha1.JobUpdatePolicy {
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
