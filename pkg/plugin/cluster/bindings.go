// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// HasBinding reports whether a ValidatingAdmissionPolicyBinding of that name exists.
func (c *Cluster) HasBinding(ctx context.Context, name string) (bool, error) {
	uid, err := c.BindingUID(ctx, name)
	return uid != "", err
}

// BindingUID returns the UID of a ValidatingAdmissionPolicyBinding, or "" if it does not exist.
func (c *Cluster) BindingUID(ctx context.Context, name string) (types.UID, error) {
	binding, err := c.Kube.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return "", nil
	case err != nil:
		return "", err
	}
	return binding.UID, nil
}
