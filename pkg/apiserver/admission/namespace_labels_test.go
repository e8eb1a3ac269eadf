// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes/fake"
	corev1listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
)

func TestNamespaceLabels(t *testing.T) {
	newNamespace := func(name string, labels map[string]string) *corev1.Namespace {
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
	}
	cached := cache.NewIndexer(cache.MetaNamespaceKeyFunc, cache.Indexers{})
	for _, namespace := range []*corev1.Namespace{newNamespace("cached", map[string]string{"a": "1"}), newNamespace("unlabeled", nil)} {
		if err := cached.Add(namespace); err != nil {
			t.Fatal(err)
		}
	}
	lookup := NamespaceLabels(corev1listers.NewNamespaceLister(cached), fake.NewClientset(newNamespace("new", map[string]string{"b": "2"})))
	for name, want := range map[string]labels.Set{
		"cached":    {"a": "1"},
		"unlabeled": {},
		"new":       {"b": "2"},
		"missing":   nil,
	} {
		if diff := cmp.Diff(want, lookup(t.Context(), name)); diff != "" {
			t.Errorf("unexpected labels of namespace %q (-want +got):\n%s", name, diff)
		}
	}
	lookupCached := CachedNamespaceLabels(corev1listers.NewNamespaceLister(cached))
	for name, want := range map[string]labels.Set{
		"cached":    {"a": "1", "kubernetes.io/metadata.name": "cached"},
		"unlabeled": {"kubernetes.io/metadata.name": "unlabeled"},
		"missing":   {"kubernetes.io/metadata.name": "missing"},
	} {
		if diff := cmp.Diff(want, lookupCached(name)); diff != "" {
			t.Errorf("unexpected labels of namespace %q for a review (-want +got):\n%s", name, diff)
		}
	}
}
