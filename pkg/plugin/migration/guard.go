// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package migration

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/plugin/cluster"
)

// guardExists is returned by ensureGuard if there was nothing to do.
const guardExists = "exists"

// ensureGuard makes kube-apiserver, but not Batchgate, deny writes. It replaces a guard that was
// edited. It fences a guard that exists, so that a rollback that has hung cannot delete it later. It
// returns what it did and the UID of the guard's binding.
func ensureGuard(ctx context.Context, c *cluster.Cluster) (string, types.UID, error) {
	binding, err := c.Binding(ctx, policy.GuardName)
	if err != nil {
		return "", "", fmt.Errorf("reading the guard: %w", err)
	}
	var uid types.UID
	if binding != nil {
		uid = *binding.UID
	}
	detail := "created"
	err = c.VerifyDenial(ctx, cluster.Guard)
	if err == nil {
		err = fenceGuard(ctx, c, binding)
	}
	switch {
	case err == nil:
		return guardExists, uid, nil
	case errors.Is(err, errReplaced):
		return "", "", err
	case !cluster.Ineffective(err):
		return "", "", fmt.Errorf("reading the guard: %w", err)
	case !apierrors.IsNotFound(err):
		detail = "replaced, since it was edited"
	}
	// This also deletes a policy without a binding, or a binding without a policy.
	if err := remove(ctx, c, policy.GuardName, uid); err != nil {
		return "", "", err
	}
	_, created, err := create(ctx, c, cluster.Guard, nil)
	if err != nil {
		return "", "", fmt.Errorf("creating the guard: %w", err)
	}
	return detail, created.UID, nil
}

// fenceGuard changes the resource version of the guard's binding, so that a rollback that has hung cannot
// delete it. It returns errReplaced if the binding has changed already, or a NotFound error if it was deleted.
func fenceGuard(ctx context.Context, c *cluster.Cluster, guard *metav1.Preconditions) error {
	if guard == nil {
		return errReplaced
	}
	err := c.FenceBinding(ctx, policy.GuardName, *guard.ResourceVersion)
	if apierrors.IsConflict(err) {
		return errReplaced
	}
	return err
}
