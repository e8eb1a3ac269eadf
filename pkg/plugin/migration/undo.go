// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package migration

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/plugin/cluster"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
)

const undoTimeout = 3 * time.Minute

// undo reverts the move, even if the command was interrupted. kube-apiserver's objects are still
// correct, since writes were frozen.
func (i *Import) undo(ctx context.Context, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	var list []steps.Step
	if i.switched {
		list = []steps.Step{
			{Name: "roll back", Run: i.rollBack},
			{Name: "jobs through kube-apiserver", Run: i.Cluster.AwaitNative},
			{Name: "discovery", Run: i.Cluster.RefreshDiscovery},
		}
	}
	list = append(list, steps.Step{Name: "unfreeze", Run: func(ctx context.Context) (string, error) {
		if err := i.removeGuard(ctx); err != nil {
			return "", err
		}
		return i.freeze.undo(ctx)
	}})
	undoErr := steps.Run(ctx, list, i.Report)
	switch {
	case errors.Is(undoErr, errReplaced):
		return fmt.Errorf("%w; not undone: %w", err, undoErr)
	case errors.Is(undoErr, errNotHeld):
		return fmt.Errorf("%w, and undoing it could lose what clients wrote to the dedicated etcd: %v; run: %s --resume", err, undoErr, cluster.ImportCommand)
	case undoErr != nil:
		return fmt.Errorf("%w, and undoing it failed: %v; run: %s --resume", err, undoErr, cluster.RollbackCommand)
	}
	return fmt.Errorf("%w: %w", err, steps.ErrRolledBack)
}

// removeGuard deletes the guard that this import may have created, unless another operation needs
// it.
func (i *Import) removeGuard(ctx context.Context) error {
	if !i.guarded {
		return nil
	}
	guard := i.guard
	var err error
	if guard == "" {
		if guard, err = i.Cluster.BindingUID(ctx, policy.GuardName); err != nil {
			return err
		}
	}
	// The guard may belong to another import. Then that import's freeze exists, or v1.batch points to
	// Batchgate. The UID of the guard is read before both are checked.
	freeze, err := i.Cluster.BindingUID(ctx, policy.FreezeName)
	if err != nil {
		return err
	}
	if freeze != "" && freeze != i.freeze.uid {
		return fmt.Errorf("deleting %s: %w", policy.GuardName, errReplaced)
	}
	now, err := i.Cluster.BatchAPIService(ctx)
	if err != nil {
		return err
	}
	if now.Service != nil {
		return cluster.ServerChanged(now)
	}
	return remove(ctx, i.Cluster, policy.GuardName, guard)
}

// rollBack points v1.batch back to kube-apiserver, unless another client has done that. It fails
// if the freeze was not held, since clients may have written to the dedicated etcd, and if
// another client has pointed v1.batch to a third server.
func (i *Import) rollBack(ctx context.Context) (string, error) {
	detail := policy.BatchAPIService + " points to kube-apiserver"
	err := cluster.RetryOnConflict(ctx, func() error {
		// Read v1.batch before the freeze: any change after this makes the patch below fail.
		now, err := i.Cluster.BatchAPIService(ctx)
		switch {
		case err != nil:
			return err
		case now.Service == nil && !now.Importing && !now.DedicatedEtcd:
			detail += " already"
			return nil
		case now.Service != nil && !now.ServedBy(i.Batchgate.Service):
			return cluster.ServerChanged(now)
		}
		if _, err := i.freeze.verifyHeld(ctx); err != nil {
			return err
		}
		return i.Cluster.RollBack(ctx, now)
	})
	return detail, err
}
