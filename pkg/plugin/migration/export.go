// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package migration

import (
	"context"
	"errors"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/plugin/cluster"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
)

// export moves Jobs and CronJobs unchanged from the dedicated etcd back to the cluster's etcd. It
// is the inverse of Import. Batchgate must serve, since it is the only server that can read them.
type export struct {
	*Rollback
	// before is v1.batch before the export.
	before *cluster.APIService
	copied map[string]checksum
	freeze *freezer
	// switched is set if v1.batch may point to kube-apiserver.
	switched bool
}

func (e *export) run(ctx context.Context) error {
	if err := steps.Check(ctx, e.checks(), e.Report); err != nil {
		return fmt.Errorf("%w: %w", err, steps.ErrNothingChanged)
	}
	if e.DryRun {
		e.Report(steps.Result{Name: "roll back", Detail: fmt.Sprintf("would freeze writes, copy Jobs and CronJobs, and point %s from %s to kube-apiserver", policy.BatchAPIService, e.before.Server())})
		return nil
	}
	if err := e.move(ctx); err != nil {
		return err
	}
	return steps.Run(ctx, []steps.Step{
		{Name: "unfreeze", Run: func(ctx context.Context) (string, error) {
			if err := remove(ctx, e.Cluster, policy.GuardName, ""); err != nil {
				return "", err
			}
			return e.freeze.end(ctx)
		}},
		{Name: "discovery", Run: e.Cluster.RefreshDiscovery},
		{Name: "controllers", Run: e.Controllers.await(e.Cluster, e.Progress)},
	}, e.Report)
}

// checks returns the checks that must pass before the first change.
func (e *export) checks() []steps.Step {
	c := e.Cluster
	return []steps.Step{
		{Name: "permissions", Run: func(ctx context.Context) (string, error) {
			return c.CheckPermissions(ctx, append(permissions(), cluster.APIServicePermissions()...))
		}},
		{Name: "other operations", Run: checkNotFrozen(c, e.Resume)},
		{Name: "current server", Run: func(context.Context) (string, error) {
			if e.before.Available != string(metav1.ConditionTrue) {
				return "", fmt.Errorf("%s is not available (%s), and only Batchgate can read the Jobs: start it first", policy.BatchAPIService, e.before.Reason)
			}
			return e.before.Server(), nil
		}},
		{Name: "etcd", Run: func(ctx context.Context) (string, error) {
			if err := verifyUses(ctx, c.Kube, "/api/v1/namespaces", e.Etcd); err != nil {
				return "", fmt.Errorf("%w: use the --etcd-servers of kube-apiserver", err)
			}
			return "kube-apiserver uses it", nil
		}},
		{Name: "canary", Run: e.Controllers.checkCanary(c)},
	}
}

// move freezes, copies, switches and verifies. If it fails, Batchgate serves as before, unless
// the error says otherwise.
func (e *export) move(ctx context.Context) error {
	c := e.Cluster
	e.freeze = &freezer{cluster: c}
	err := steps.Run(ctx, []steps.Step{
		{Name: "freeze", Undo: cluster.RollbackCommand + " --resume", Run: func(ctx context.Context) (string, error) {
			// kube-apiserver proxies to Batchgate, so its responses cover both servers.
			return e.freeze.start(ctx, e.Resume, func(context.Context) error { return nil }, c.Kube)
		}},
		{Name: "copy", Run: func(ctx context.Context) (string, error) {
			var err error
			if e.copied, err = copyTo(ctx, c.Kube, e.Etcd, e.Progress); err != nil {
				return "", err
			}
			return verifyCopied(ctx, c.Kube, e.copied)
		}},
		{Name: "still frozen", Run: e.freeze.verifyHeld},
		{Name: "roll back", Undo: importCommand + " --overwrite", Run: func(ctx context.Context) (string, error) {
			e.switched = true
			return policy.BatchAPIService + " points to kube-apiserver", c.RollBack(ctx)
		}},
		{Name: "jobs through kube-apiserver", Run: c.AwaitNative},
		{Name: "objects through kube-apiserver", Run: func(ctx context.Context) (string, error) {
			return verifyCopied(ctx, c.Kube, e.copied)
		}},
		{Name: "every kube-apiserver", Run: awaitServedFrom(c, e.Etcd)},
		{Name: "frozen throughout", Run: e.freeze.verifyHeld},
	}, e.Report)
	if err == nil {
		return nil
	}
	if errors.Is(err, errFrozen) {
		return fmt.Errorf("%w: %w", err, steps.ErrNothingChanged)
	}
	return e.undo(ctx, err)
}

// undo points v1.batch back to Batchgate, whose Jobs are unchanged.
func (e *export) undo(ctx context.Context, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	var undoErr error
	if e.switched {
		undoErr = e.Cluster.Restore(ctx, e.before, policy.EtcdDedicated)
	}
	if undoErr == nil {
		_, undoErr = e.freeze.undo(ctx)
	}
	if undoErr != nil {
		// import points v1.batch to Batchgate again if necessary, and ends the freeze.
		return fmt.Errorf("%w, and undoing it failed: %v; run: %s --resume", err, undoErr, importCommand)
	}
	return fmt.Errorf("%w: Batchgate serves as before: %w", err, steps.ErrRolledBack)
}
