// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	corev1listers "k8s.io/client-go/listers/core/v1"
)

// NamespaceLabels returns a function that looks up the labels of a namespace for the
// namespaceSelectors of policies. Like the admission plugins, it reads a namespace that is too
// new for the cache from the cluster. The labels are nil if the lookup fails, and empty but not
// nil if the namespace has none.
func NamespaceLabels(cached corev1listers.NamespaceLister, client kubernetes.Interface) func(ctx context.Context, namespace string) labels.Set {
	return func(ctx context.Context, name string) labels.Set {
		namespace, err := cached.Get(name)
		if apierrors.IsNotFound(err) {
			namespace, err = client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
		}
		if err != nil {
			return nil
		}
		return labels.Merge(labels.Set{}, namespace.Labels)
	}
}
