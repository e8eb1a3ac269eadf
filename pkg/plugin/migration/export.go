// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package migration

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
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
	// guard is the UID and the resource version of the guard's binding, or nil if there is none. It was
	// read while the freeze was held, so a later import has not fenced it.
	guard *metav1.Preconditions
	// switched is set if v1.batch may point to kube-apiserver.
	switched bool
}

func (e *export) run(ctx context.Context) error {
	e.freeze = &freezer{cluster: e.Cluster, namespace: e.Controllers.Namespace}
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
		{Name: "unfreeze", Run: uninterrupted(func(ctx context.Context) (string, error) {
			if err := fenceNative(ctx, e.Cluster); err != nil {
				return "", err
			}
			if err := removeVersion(ctx, e.Cluster, policy.GuardName, e.guard); err != nil {
				return "", err
			}
			return e.freeze.end(ctx)
		})},
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
		{Name: "other operations", Run: e.freeze.check(e.Resume)},
		{Name: "current server", Run: func(ctx context.Context) (string, error) {
			if e.before.Available != string(metav1.ConditionTrue) {
				return "", fmt.Errorf("%s is not available (%s), and only Batchgate can read the Jobs: start it first", policy.BatchAPIService, e.before.Reason)
			}
			return e.before.Server(), c.VerifyEveryNative(ctx)
		}},
		{Name: "etcd", Run: func(ctx context.Context) (string, error) {
			if err := verifyUses(ctx, c.Kube, "/api/v1/namespaces", e.Etcd); err != nil {
				return "", fmt.Errorf("%w: use the --etcd-servers of kube-apiserver", err)
			}
			return "kube-apiserver uses it", e.checkPrefix(ctx)
		}},
		{Name: "encryption", Run: e.checkEncryption},
		{Name: "canary", Run: e.Controllers.checkCanary(c)},
	}
}

// checkEncryption fails if kube-apiserver encrypts Jobs or CronJobs at rest. It reads what
// kube-apiserver has written before the import, and its metrics.
func (e *export) checkEncryption(ctx context.Context) (string, error) {
	if e.Unencrypted {
		return skipped, nil
	}
	if err := e.Etcd.checkUnencrypted(ctx); err != nil {
		return "", err
	}
	encrypts, err := encryptsJobs(ctx, e.Cluster.Kube)
	if err == nil && encrypts {
		err = errEncrypted("kube-apiserver")
	}
	return "kube-apiserver does not encrypt Jobs and CronJobs", err
}

// move freezes, copies, switches and verifies. If it fails, Batchgate serves as before, unless
// the error says otherwise.
func (e *export) move(ctx context.Context) error {
	c := e.Cluster
	replicas, closeReplicas, err := e.connectAll(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", err, steps.ErrNothingChanged)
	}
	defer closeReplicas()
	err = steps.Run(ctx, []steps.Step{
		{Name: "freeze", Undo: cluster.ImportCommand + " --resume", Run: func(ctx context.Context) (string, error) {
			return e.freeze.start(ctx, e.hold, replicas)
		}},
		{Name: "copy", Run: func(ctx context.Context) (string, error) {
			var err error
			if e.copied, err = copyTo(ctx, c.Kube, e.Etcd, e.Progress); err != nil {
				return "", err
			}
			if _, err := verifyCopied(ctx, c.Kube, e.copied); err != nil {
				return "", err
			}
			// A kube-apiserver that has just started may have returned its outdated objects.
			for _, replica := range replicas {
				if _, err := verifyCopied(ctx, replica, e.copied); err != nil {
					return "", fmt.Errorf("verifying what Batchgate has: %w: run this again", err)
				}
			}
			return fmt.Sprintf("%d Jobs and CronJobs", len(e.copied)), nil
		}},
		{Name: "still frozen", Run: e.freeze.verifyHeld},
		{Name: "roll back", Undo: cluster.ImportCommand + " --overwrite", Run: func(ctx context.Context) (string, error) {
			return policy.BatchAPIService + " points to kube-apiserver", e.rollBack(ctx)
		}},
		{Name: "jobs through kube-apiserver", Run: c.AwaitNative},
		{Name: "objects through kube-apiserver", Run: func(ctx context.Context) (string, error) {
			return verifyCopied(ctx, c.Kube, e.copied)
		}},
		{Name: "every kube-apiserver", Run: e.awaitServed},
		{Name: "frozen throughout", Run: e.verifyHeld},
	}, e.Report)
	if err == nil {
		return nil
	}
	if errors.Is(err, errFrozen) {
		return fmt.Errorf("%w: %w", err, steps.ErrNothingChanged)
	}
	return e.undo(ctx, err)
}

// checkPrefix fails if the store has another prefix than kube-apiserver. It looks for the guard below
// that prefix. If there is no guard, it succeeds, and holdFreeze notices a wrong prefix later.
func (e *export) checkPrefix(ctx context.Context) error {
	guard, err := e.Cluster.Kube.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().Get(ctx, policy.GuardName, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err == nil {
		_, err = e.Etcd.checkBinding(ctx, policy.GuardName, guard.ResourceVersion)
	}
	return err
}

// hold makes prepared requests of earlier operations fail. It allows writes to the cluster's etcd
// while the freeze is held.
func (e *export) hold(ctx context.Context) error {
	if _, err := e.Cluster.Fence(ctx); err != nil {
		return err
	}
	return e.Etcd.holdFreeze(ctx, e.freeze.bindingVersion)
}

// verifyHeld reads the guard and fails if the freeze is not held.
func (e *export) verifyHeld(ctx context.Context) (string, error) {
	var err error
	if e.guard, err = e.Cluster.Binding(ctx, policy.GuardName); err != nil {
		return "", fmt.Errorf("reading the guard: %w", err)
	}
	return e.freeze.verifyHeld(ctx)
}

// rollBack points v1.batch to kube-apiserver. It fails if the freeze is not held, or if another client
// has changed the server.
func (e *export) rollBack(ctx context.Context) error {
	return cluster.RetryOnConflict(ctx, func() error {
		// Read v1.batch before the freeze: any change after this makes the patch below fail.
		now, err := e.Cluster.BatchAPIService(ctx)
		switch {
		case err != nil:
			return err
		case !now.ServedBy(*e.before.Service) || !now.DedicatedEtcd:
			return cluster.ServerChanged(now)
		}
		if _, err := e.verifyHeld(ctx); err != nil {
			return err
		}
		err = e.Cluster.RollBack(ctx, now)
		e.switched = err == nil || errors.Is(err, cluster.ErrUnknown)
		return err
	})
}

// awaitServed waits until every kube-apiserver serves Jobs itself, from the cluster's etcd.
func (e *export) awaitServed(ctx context.Context) (string, error) {
	settle := e.Cluster.Timing.Settle
	found, err := e.Cluster.AwaitSettled(ctx, settle, e.Cluster.Timing.Switch, func(ctx context.Context, kube cluster.Server) error {
		if err := cluster.CheckNative(ctx, kube); err != nil {
			return err
		}
		return servesFrom(e.Etcd)(ctx, kube)
	})
	if err != nil {
		return "", fmt.Errorf("waiting for every kube-apiserver to serve the Jobs that were moved: %w", err)
	}
	return fmt.Sprintf("new connections have served Jobs for %s%s", settle, found), nil
}

// connectAll connects to all replicas of Batchgate. kube-apiserver proxies to Batchgate, but its
// connections reach only some of them.
func (e *export) connectAll(ctx context.Context) ([]*cluster.Direct, func(), error) {
	if e.Batchgate == nil {
		return nil, func() {}, nil
	}
	if len(e.Batchgate.CABundle) == 0 {
		var err error
		if e.Batchgate.CABundle, err = e.Cluster.KnownCABundle(ctx, e.Batchgate.Service); err != nil {
			return nil, nil, err
		}
	}
	return e.Batchgate.ConnectAll(ctx)
}

// undo points v1.batch back to Batchgate, whose Jobs are unchanged.
func (e *export) undo(ctx context.Context, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	var undoErr error
	if e.switched {
		undoErr = e.restore(ctx)
	}
	if undoErr == nil {
		_, undoErr = e.freeze.undo(ctx)
	}
	switch {
	case errors.Is(undoErr, errReplaced):
		return fmt.Errorf("%w; not undone: %w", err, undoErr)
	case errors.Is(undoErr, errNotHeld):
		return fmt.Errorf("%w, and undoing it could lose what clients wrote to kube-apiserver: %v; run: %s --resume", err, undoErr, cluster.RollbackMoveCommand)
	case undoErr != nil:
		// import points v1.batch to Batchgate again if necessary, and ends the freeze.
		return fmt.Errorf("%w, and undoing it failed: %v; run: %s --resume", err, undoErr, cluster.ImportCommand)
	}
	return fmt.Errorf("%w: Batchgate serves as before: %w", err, steps.ErrRolledBack)
}

// restore points v1.batch to Batchgate again. It fails if neither the freeze nor the guard has kept
// clients from writing to kube-apiserver.
func (e *export) restore(ctx context.Context) error {
	return cluster.RetryOnConflict(ctx, func() error {
		now, err := e.Cluster.BatchAPIService(ctx)
		switch {
		case err != nil:
			return err
		case now.ServedBy(*e.before.Service) && now.DedicatedEtcd:
			return nil
		case now.Service != nil:
			return cluster.ServerChanged(now)
		}
		if _, err := e.freeze.verifyHeld(ctx); err != nil {
			if guardErr := e.checkGuard(ctx); guardErr != nil {
				return errors.Join(err, guardErr)
			}
		}
		return e.Cluster.Restore(ctx, now, e.before, policy.EtcdDedicated)
	})
}

// checkGuard fails unless the guard has denied writes since verifyHeld read it.
func (e *export) checkGuard(ctx context.Context) error {
	if err := e.Cluster.VerifyDenial(ctx, cluster.Guard); err != nil {
		return fmt.Errorf("the guard: %w", err)
	}
	uid, err := e.Cluster.BindingUID(ctx, policy.GuardName)
	if err == nil && (e.guard == nil || uid != *e.guard.UID) {
		err = fmt.Errorf("the guard: %w", errReplaced)
	}
	return err
}
