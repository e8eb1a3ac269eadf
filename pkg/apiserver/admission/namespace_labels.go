// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"context"

	corev1 "k8s.io/api/core/v1"
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

// CachedNamespaceLabels returns a function for reviews, which every user may create in any namespace. It
// sends no request. A namespace that is not cached has the label that every namespace has, so that a review
// does not tell whether it exists.
func CachedNamespaceLabels(cached corev1listers.NamespaceLister) func(namespace string) labels.Set {
	return func(name string) labels.Set {
		always := labels.Set{corev1.LabelMetadataName: name}
		namespace, err := cached.Get(name)
		if err != nil {
			return always
		}
		return labels.Merge(always, namespace.Labels)
	}
}
