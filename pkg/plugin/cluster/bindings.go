// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"encoding/json"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"

	"github.com/batchgate/batchgate/pkg/apis/policy"
)

// HasBinding reports whether a ValidatingAdmissionPolicyBinding of that name exists.
func (c *Cluster) HasBinding(ctx context.Context, name string) (bool, error) {
	uid, err := c.BindingUID(ctx, name)
	return uid != "", err
}

// BindingUID returns the UID of a ValidatingAdmissionPolicyBinding, or "" if it does not exist.
func (c *Cluster) BindingUID(ctx context.Context, name string) (types.UID, error) {
	found, err := c.Binding(ctx, name)
	if err != nil || found == nil {
		return "", err
	}
	return *found.UID, nil
}

// Binding returns the UID and the resource version of a ValidatingAdmissionPolicyBinding, or nil if it
// does not exist.
func (c *Cluster) Binding(ctx context.Context, name string) (*metav1.Preconditions, error) {
	binding, err := c.Kube.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return &metav1.Preconditions{UID: &binding.UID, ResourceVersion: &binding.ResourceVersion}, nil
}

// FenceBinding changes the resource version of a ValidatingAdmissionPolicyBinding. Requests to delete the
// earlier version then fail. FenceBinding returns a NotFound error or a conflict if the binding was deleted
// or has another version.
func (c *Cluster) FenceBinding(ctx context.Context, name, resourceVersion string) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"resourceVersion": resourceVersion,
		"annotations":     map[string]string{policy.OperationAnnotation: string(uuid.NewUUID())},
	}})
	if err != nil {
		return err
	}
	_, err = c.Kube.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().Patch(ctx, name, types.MergePatchType, patch,
		metav1.PatchOptions{FieldManager: policy.PluginFieldManager})
	return err
}
