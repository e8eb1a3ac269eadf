// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package migration

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/plugin/cluster"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
	"github.com/batchgate/batchgate/pkg/plugin/takeover"
)

// Import moves Jobs and CronJobs unchanged to Batchgate's dedicated etcd and points v1.batch to
// Batchgate. It freezes writes during the move.
type Import struct {
	Cluster   *cluster.Cluster
	Batchgate *cluster.Batchgate
	Report    steps.Reporter
	// DryRun stops after the checks.
	DryRun bool
	// Timeout is how long kube-apiserver may take to consider Batchgate available. 0 means
	// takeover.DefaultTimeout.
	Timeout time.Duration
	// Etcd is Batchgate's dedicated etcd.
	Etcd *Store
	// Overwrite allows the import to replace Jobs that are in the etcd already.
	Overwrite bool
	// Resume replaces the freeze of an operation that was killed.
	Resume bool
	// Unencrypted allows the import to write unencrypted objects although a server encrypts them.
	Unencrypted bool
	Controllers Controllers
	// Progress receives messages during long steps.
	Progress func(string)

	// returning is set if v1.batch was rolled back by hand and the guard has denied writes since.
	returning bool
	// marker is the marker that the checks have read, or that this import has written. If the checks
	// found none, only its field Cluster is set.
	marker marker
	copied map[string]checksum
	freeze *freezer
	// earlierGuard is the UID of the binding of a guard that the checks have found.
	earlierGuard types.UID
	// guarded is set if this import may have created the guard. guard is the UID of its binding,
	// unless it is unknown.
	guarded bool
	guard   types.UID
	// switched is set if v1.batch may point to Batchgate.
	switched bool
}

// Run imports. If it was interrupted it can be repeated: it starts over or continues, depending on
// the state that it finds. It returns the same errors as takeover.Takeover.
func (i *Import) Run(ctx context.Context) error {
	i.freeze = &freezer{cluster: i.Cluster, namespace: i.Controllers.Namespace}
	before, err := i.Cluster.BatchAPIService(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", err, steps.ErrNothingChanged)
	}
	service := i.Batchgate.Service
	// In both states the dedicated etcd has all Jobs, since the copy precedes the takeover.
	finish := before.DedicatedEtcd || before.Importing && i.Resume
	if before.Importing && !i.Resume {
		return fmt.Errorf("an import was interrupted or is running: if none is running, run %s and then this again, or set --resume to finish it: %w", cluster.RollbackCommand, steps.ErrNothingChanged)
	}
	if before.ServedBy(service) && finish {
		i.Report(steps.Result{Name: "take over", Detail: policy.BatchAPIService + " is served by " + service.String() + " from the dedicated etcd already"})
		if i.DryRun {
			return nil
		}
		return i.conclude(ctx)
	}
	if err := steps.Check(ctx, i.checks(), i.Report); err != nil {
		return fmt.Errorf("%w: %w", err, steps.ErrNothingChanged)
	}
	if !i.returning {
		if err := steps.Check(ctx, []steps.Step{{Name: "encryption", Run: i.checkEncryption}}, i.Report); err != nil {
			return fmt.Errorf("%w: %w", err, steps.ErrNothingChanged)
		}
	}
	if i.DryRun {
		i.Report(steps.Result{Name: "import", Detail: "would freeze writes, copy Jobs and CronJobs, and point " + policy.BatchAPIService + " to " + service.String()})
		return nil
	}
	begin := i.move
	if i.returning {
		begin = i.takeOverAgain
	}
	if err := begin(ctx, before); err != nil {
		return err
	}
	return i.conclude(ctx)
}

// move freezes, copies, switches and verifies. If it fails, kube-apiserver serves as before,
// unless the error says otherwise.
func (i *Import) move(ctx context.Context, before *cluster.APIService) error {
	service := i.Batchgate.Service
	annotations, err := i.Cluster.TakeoverAnnotations(ctx, service, policy.EtcdImporting)
	if err != nil {
		return fmt.Errorf("%w: %w", err, steps.ErrNothingChanged)
	}
	replicas, closeReplicas, err := i.Batchgate.ConnectAll(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", err, steps.ErrNothingChanged)
	}
	defer closeReplicas()
	// The marker comes before the guard: a guard with the marker "serving" would mean that the etcd's
	// Jobs are authoritative. But now kube-apiserver's are.
	mark := func(ctx context.Context) error {
		if before, err = i.Cluster.Fence(ctx); err != nil {
			return err
		}
		if before.Service != nil {
			return cluster.ServerChanged(before)
		}
		// A guard that exists now was left by an unfinished import.
		if err := remove(ctx, i.Cluster, policy.GuardName, i.earlierGuard); err != nil {
			return err
		}
		return i.mark(ctx, stateImporting)
	}
	err = steps.Run(ctx, []steps.Step{
		{Name: "freeze", Undo: cluster.RollbackCommand + " --resume", Run: func(ctx context.Context) (string, error) {
			if i.freeze.earlier != "" {
				i.freeze.unknown = true // until the earlier freeze is deleted
				// A guard without a freeze would look as if somebody had lifted the freeze.
				if err := remove(ctx, i.Cluster, policy.GuardName, i.earlierGuard); err != nil {
					return "", err
				}
			}
			return i.freeze.start(ctx, mark, replicas)
		}},
		{Name: "copy", Run: func(ctx context.Context) (string, error) { return i.copy(ctx, replicas) }},
		{Name: "guard", Run: func(ctx context.Context) (string, error) {
			i.guarded = true
			var detail string
			var err error
			detail, i.guard, err = ensureGuard(ctx, i.Cluster)
			return detail, err
		}},
		// After the guard: if the freeze is lifted later, kube-apiserver still denies writes.
		{Name: "still frozen", Run: i.freeze.verifyHeld},
		{Name: "take over", Undo: cluster.RollbackMoveCommand, Run: func(ctx context.Context) (string, error) {
			annotations[policy.FreezeAnnotation] = i.freeze.id
			err := i.Cluster.TakeOver(ctx, before, i.Batchgate, annotations)
			i.switched = err == nil || errors.Is(err, cluster.ErrUnknown)
			return policy.BatchAPIService + " points to " + service.String(), err
		}},
		{Name: "available", Run: i.awaitAvailable},
		{Name: "objects through kube-apiserver", Run: func(ctx context.Context) (string, error) {
			return verifyCopied(ctx, i.Cluster.Kube, i.copied)
		}},
		{Name: "every kube-apiserver", Run: i.awaitServed},
		{Name: "frozen throughout", Run: i.freeze.verifyHeld},
		{Name: "mark as serving", Undo: cluster.RollbackMoveCommand, Run: i.markServing},
	}, i.Report)
	if err == nil {
		return nil
	}
	if errors.Is(err, errFrozen) {
		return fmt.Errorf("%w: %w", err, steps.ErrNothingChanged)
	}
	return i.undo(ctx, err)
}

// takeOverAgain points v1.batch to Batchgate, whose etcd has the authoritative Jobs already.
func (i *Import) takeOverAgain(ctx context.Context, before *cluster.APIService) error {
	annotations, err := i.Cluster.TakeoverAnnotations(ctx, i.Batchgate.Service, policy.EtcdDedicated)
	if err == nil {
		// After this, a rollback that has hung cannot delete the guard, so clients cannot write to
		// kube-apiserver before the takeover.
		err = i.fenceEarlierGuard(ctx)
	}
	if err == nil {
		err = i.Cluster.TakeOver(ctx, before, i.Batchgate, annotations)
	}
	switch {
	case errors.Is(err, cluster.ErrUnknown):
		return fmt.Errorf("%w; run %s again", err, cluster.ImportCommand)
	case err != nil:
		return fmt.Errorf("%w: %w", err, steps.ErrNothingChanged)
	}
	i.Report(steps.Result{Name: "take over", Detail: policy.BatchAPIService + " points to " + i.Batchgate.Service.String() + "; nothing is copied", Undo: cluster.RollbackMoveCommand})
	return nil
}

func (i *Import) fenceEarlierGuard(ctx context.Context) error {
	guard, err := i.Cluster.Binding(ctx, policy.GuardName)
	switch {
	case err != nil:
		return err
	case guard == nil || *guard.UID != i.earlierGuard:
		return errReplaced
	}
	return fenceGuard(ctx, i.Cluster, guard)
}

// copy copies all objects and verifies that kube-apiserver and all replicas have what was copied.
func (i *Import) copy(ctx context.Context, replicas []*cluster.Direct) (string, error) {
	var err error
	if i.copied, err = copyTo(ctx, i.Cluster.Kube, i.Etcd, i.Progress); err != nil {
		return "", err
	}
	// A write that was admitted before the freeze may have been stored during the copy.
	if _, err := verifyCopied(ctx, i.Cluster.Kube, i.copied); err != nil {
		return "", fmt.Errorf("verifying what kube-apiserver has: %w: run this again", err)
	}
	for _, replica := range replicas {
		if _, err := verifyCopied(ctx, replica, i.copied); err != nil {
			return "", fmt.Errorf("verifying what Batchgate has: %w: run this again", err)
		}
	}
	return fmt.Sprintf("%d Jobs and CronJobs", len(i.copied)), nil
}

// conclude finishes the import once v1.batch points to Batchgate: it ends the freeze and waits for
// the controllers. If an earlier command pointed it there, conclude first verifies and
// completes that state.
func (i *Import) conclude(ctx context.Context) error {
	var list []steps.Step
	unfreeze := i.freeze.end
	if i.freeze.uid == "" { // an earlier command has imported
		if !i.Resume {
			unfreeze = i.freeze.awaitEnd // a freeze would be another operation's
		}
		list = []steps.Step{
			{Name: "other operations", Run: i.freeze.check(i.Resume)},
			{Name: "marker", Run: i.checkMarker},
			{Name: "guard", Run: i.ensureGuard},
			{Name: "available", Run: i.awaitAvailable},
			{Name: "every kube-apiserver", Run: i.awaitServed},
			{Name: "mark as serving", Run: i.markServing},
		}
	}
	return steps.Run(ctx, append(list,
		steps.Step{Name: "unfreeze", Run: uninterrupted(unfreeze)},
		steps.Step{Name: "controllers", Run: i.Controllers.await(i.Cluster, i.Progress)},
	), i.Report)
}

// checkMarker fails if the etcd does not have the Jobs of this cluster.
func (i *Import) checkMarker(ctx context.Context) (string, error) {
	uid, err := i.Cluster.UID(ctx)
	if err != nil {
		return "", err
	}
	mark, err := i.Etcd.marker(ctx)
	if err != nil {
		return "", err
	}
	if mark == nil || mark.Cluster != uid {
		return "", errors.New("this etcd does not have the Jobs of this cluster: use the --etcd-servers of Batchgate")
	}
	i.marker = *mark
	return "the etcd has the Jobs of this cluster", nil
}

// mark changes the state of the marker. It fails if another import has written the marker since this
// one has read it.
func (i *Import) mark(ctx context.Context, state string) error {
	i.marker.State = state
	return i.Etcd.mark(ctx, &i.marker)
}

// ensureGuard creates the guard if it is missing. If a rollback has moved the Jobs back meanwhile, it
// fails, and deletes the guard that it has created.
func (i *Import) ensureGuard(ctx context.Context) (string, error) {
	detail, uid, err := ensureGuard(ctx, i.Cluster)
	if err != nil {
		return "", err
	}
	// A rollback deletes the guard after it has changed v1.batch.
	now, err := i.Cluster.BatchAPIService(ctx)
	switch {
	case err != nil:
		return "", err
	case now.ServedBy(i.Batchgate.Service):
		return detail, nil
	case detail == guardExists: // the rollback deletes it, or was made by hand
	default:
		err = remove(ctx, i.Cluster, policy.GuardName, uid)
	}
	return "", errors.Join(cluster.ServerChanged(now), err)
}

func (i *Import) awaitAvailable(ctx context.Context) (string, error) {
	return i.Cluster.AwaitAvailable(i.Batchgate.Service, i.timeout())(ctx)
}

// awaitServed waits until every kube-apiserver serves Jobs through Batchgate from the dedicated
// etcd.
func (i *Import) awaitServed(ctx context.Context) (string, error) {
	return i.Cluster.AwaitServed(i.Batchgate.Service, i.timeout(), servesFrom(i.Etcd))(ctx)
}

func (i *Import) timeout() time.Duration {
	return cmp.Or(i.Timeout, takeover.DefaultTimeout)
}

// markServing records on v1.batch and in the etcd's marker that the etcd's Jobs are authoritative.
// After that, only an export can roll back.
func (i *Import) markServing(ctx context.Context) (string, error) {
	if err := cluster.RetryOnConflict(ctx, func() error { return i.annotate(ctx) }); err != nil {
		return "", err
	}
	return "the Jobs in the dedicated etcd are authoritative", i.mark(ctx, stateServing)
}

// annotate records on v1.batch that the etcd's Jobs are authoritative. It fails if a rollback has
// changed v1.batch meanwhile.
func (i *Import) annotate(ctx context.Context) error {
	now, err := i.Cluster.BatchAPIService(ctx)
	switch {
	case err != nil:
		return err
	case !now.ServedBy(i.Batchgate.Service):
		return cluster.ServerChanged(now)
	case now.DedicatedEtcd:
		return nil
	}
	return i.Cluster.SetEtcdAnnotation(ctx, now, policy.EtcdDedicated)
}
