// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	admissioninformers "k8s.io/client-go/informers/admissionregistration/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/batchgate/batchgate/pkg/apis/policy"
)

// enforcedHere selects the bindings that this server enforces. It excludes the guard: while Jobs are
// stored in a dedicated etcd, this labeled binding denies writes on kube-apiserver only.
const enforcedHere = policy.EnforcedByLabel + "!=" + policy.EnforcedByKubeAPIServer

// registerBindingInformer registers an informer of ValidatingAdmissionPolicyBindings that omits
// the bindings for kube-apiserver only. The factory then returns it to every caller that requests
// an informer of bindings.
func registerBindingInformer(factory informers.SharedInformerFactory) {
	factory.InformerFor(&admissionregistrationv1.ValidatingAdmissionPolicyBinding{}, func(client kubernetes.Interface, resync time.Duration) cache.SharedIndexInformer {
		return admissioninformers.NewFilteredValidatingAdmissionPolicyBindingInformer(client, resync, cache.Indexers{}, func(opts *metav1.ListOptions) {
			opts.LabelSelector = enforcedHere
		})
	})
}
