// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package fieldpolicy

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The functions in zz_generated.equal.go call the functions below. See hack/equal-gen.

func equalQuantity(a, b *resource.Quantity) bool {
	x := *a // Cmp may modify its receiver
	return x.Cmp(*b) == 0
}

func equalFieldsV1(a, b *metav1.FieldsV1) bool { return a.Equal(*b) }

func equalOptional[T comparable](a, b *T) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

func equalPointers[T any](a, b *T, equal func(a, b *T) bool) bool {
	if a == nil || b == nil {
		return a == b
	}
	return equal(a, b)
}

func equalLists[T any](a, b []T, equal func(a, b *T) bool) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !equal(&a[i], &b[i]) {
			return false
		}
	}
	return true
}

func equalMaps[K comparable, V any](a, b map[K]V, equal func(a, b *V) bool) bool {
	if len(a) != len(b) {
		return false
	}
	for key, x := range a {
		if y, ok := b[key]; !ok || !equal(&x, &y) {
			return false
		}
	}
	return true
}
