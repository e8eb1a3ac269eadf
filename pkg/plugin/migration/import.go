// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package migration

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/plugin/cluster"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
	"github.com/batchgate/batchgate/pkg/plugin/takeover"
)

const (
	// revisionMargin is the minimum difference between the revisions of the dedicated etcd and of
	// the cluster's etcd, whose revision keeps growing.
	revisionMargin = 1_000_000_000
	undoTimeout    = 3 * time.Minute
	// changeAttempts is how often a conflicting change of v1.batch is tried.
	changeAttempts = 5
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
	returning  bool
	clusterUID string
	copied     map[string]checksum
	freeze     *freezer
	// guarded is set if this import may have created the guard.
	guarded bool
	// switched is set if v1.batch may point to Batchgate.
	switched bool
}

// Run imports. If it was interrupted it can be repeated: it starts over or continues, depending on
// the state that it finds. It returns the same errors as takeover.Takeover.
func (i *Import) Run(ctx context.Context) error {
	i.freeze = &freezer{cluster: i.Cluster}
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

// checks returns the checks that must pass before the first change.
func (i *Import) checks() []steps.Step {
	c := i.Cluster
	checks := []steps.Step{
		{Name: "permissions", Run: func(ctx context.Context) (string, error) {
			needed := append(takeover.Permissions(i.Batchgate.Service), permissions()...)
			return c.CheckPermissions(ctx, append(needed,
				authorizationv1.ResourceAttributes{Group: "batch", Resource: "cronjobs", Verb: "create"},
				authorizationv1.ResourceAttributes{Group: "batch", Resource: "cronjobs", Verb: "delete"},
			))
		}},
		{Name: "current server", Run: i.checkNative},
		{Name: "other operations", Run: checkNotFrozen(c, i.Resume)},
	}
	return append(append(checks, takeover.ServerChecks(c, i.Batchgate)...),
		steps.Step{Name: "etcd", Run: i.checkEtcd},
		steps.Step{Name: "revisions", Run: i.checkRevisions},
		steps.Step{Name: "canary", Run: i.Controllers.checkCanary(c)},
	)
}

func (i *Import) checkNative(ctx context.Context) (string, error) {
	a, err := i.Cluster.BatchAPIService(ctx)
	if err != nil {
		return "", err
	}
	if a.Service != nil {
		return "", fmt.Errorf("%s is served by %s: roll that back first", policy.BatchAPIService, a.Server())
	}
	return a.Server(), nil
}

// checkEtcd fails if Batchgate does not use the etcd, or if writing to it would lose Jobs.
func (i *Import) checkEtcd(ctx context.Context) (string, error) {
	direct, err := i.Batchgate.Connect(ctx)
	if err != nil {
		return "", err
	}
	if err := verifyUses(ctx, direct, cluster.BatchPath("jobs"), i.Etcd); err != nil {
		return "", fmt.Errorf("%w: use the --etcd-servers of Batchgate", err)
	}
	if i.clusterUID, err = i.Cluster.UID(ctx); err != nil {
		return "", err
	}
	mark, err := i.Etcd.marker(ctx)
	if err != nil {
		return "", err
	}
	guarded, err := i.Cluster.HasBinding(ctx, policy.GuardName)
	if err != nil {
		return "", err
	}
	objects, err := i.Etcd.checksums(ctx)
	if err != nil {
		return "", err
	}
	maps.DeleteFunc(objects, func(id string, _ checksum) bool { return isCanary(id) })
	n := len(objects)
	switch {
	case mark != nil && mark.Cluster != i.clusterUID:
		return "", errors.New("this etcd has the Jobs of another cluster: each cluster needs its own etcd")
	case mark != nil && mark.State == stateServing && guarded:
		i.returning = true
		return fmt.Sprintf("has the %d authoritative Jobs and CronJobs: %s was rolled back by hand", n, policy.BatchAPIService), nil
	case mark != nil && mark.State == stateImporting && guarded && !i.Overwrite:
		frozen, err := i.Cluster.HasBinding(ctx, policy.FreezeName)
		if err != nil {
			return "", err
		}
		if !frozen {
			// Every command deletes the guard before the freeze, so somebody else lifted the freeze.
			return "", fmt.Errorf("the freeze of an unfinished import was lifted by hand, so clients may have written to this etcd: check whether its %d Jobs and CronJobs are needed, or set --overwrite to replace them", n)
		}
	}
	switch {
	case n == 0:
		return "has no Jobs yet", nil
	case mark != nil && mark.State == stateImporting:
		return fmt.Sprintf("has %d copies of an unfinished import, which are replaced", n), nil
	case i.Overwrite:
		return fmt.Sprintf("has %d Jobs and CronJobs, which are replaced", n), nil
	}
	return "", fmt.Errorf("it has %d Jobs and CronJobs from an earlier time: check whether they are needed, or set --overwrite to discard them", n)
}

// checkRevisions fails if clients that resume a watch at one of the cluster's revisions would not
// detect the change of the etcd.
func (i *Import) checkRevisions(ctx context.Context) (string, error) {
	current, err := cluster.JobsRevision(ctx, i.Cluster.Kube)
	if err != nil {
		return "", err
	}
	needed := current + revisionMargin
	compacted, err := i.Etcd.compacted(ctx, needed)
	if err != nil {
		return "", fmt.Errorf("reading an old revision of etcd: %w", err)
	}
	if !compacted {
		return "", fmt.Errorf("the cluster is at revision %d, and the dedicated etcd must have compacted all revisions up to %d: otherwise controllers that resume a watch would silently see nothing. Restore the etcd from a snapshot with --bump-revision and --mark-compacted, as artifacts/overlays/dedicated-etcd does", current, needed)
	}
	return fmt.Sprintf("the etcd has compacted all revisions that the cluster, now at %d, has used", current), nil
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
	// The marker comes before the guard: a guard with the marker "serving" means that the etcd's
	// Jobs are authoritative, and here kube-apiserver's are.
	mark := func(ctx context.Context) error {
		return i.Etcd.mark(ctx, marker{i.clusterUID, stateImporting})
	}
	err = steps.Run(ctx, []steps.Step{
		{Name: "freeze", Undo: cluster.RollbackCommand + " --resume", Run: func(ctx context.Context) (string, error) {
			return i.freeze.start(ctx, i.Resume, mark, replicas)
		}},
		{Name: "copy", Run: i.copy},
		{Name: "still frozen", Run: i.freeze.verifyHeld},
		{Name: "guard", Run: func(ctx context.Context) (string, error) {
			i.guarded = true
			return ensureGuard(ctx, i.Cluster)
		}},
		{Name: "take over", Undo: cluster.RollbackMoveCommand, Run: func(ctx context.Context) (string, error) {
			err := i.Cluster.TakeOver(ctx, before, i.Batchgate, annotations)
			i.switched = !apierrors.IsConflict(err) || errors.Is(err, cluster.ErrUnknown)
			return policy.BatchAPIService + " points to " + service.String(), err
		}},
		{Name: "available", Run: i.awaitAvailable},
		{Name: "objects through kube-apiserver", Run: func(ctx context.Context) (string, error) {
			return verifyCopied(ctx, i.Cluster.Kube, i.copied)
		}},
		{Name: "every kube-apiserver", Run: awaitServedFrom(i.Cluster, i.Etcd)},
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
	now, err := i.Cluster.BatchAPIService(ctx)
	if err != nil {
		return err
	}
	if now.Service != nil {
		return fmt.Errorf("%s was pointed to %s by another client", policy.BatchAPIService, now.Server())
	}
	return remove(ctx, i.Cluster, policy.GuardName, "")
}

// rollBack points v1.batch back to kube-apiserver, unless another client has done that. It fails
// if the freeze was not held, since clients may have written to the dedicated etcd, and if
// another client has pointed v1.batch to a third server.
func (i *Import) rollBack(ctx context.Context) (string, error) {
	const detail = policy.BatchAPIService + " points to kube-apiserver"
	var err error
	for range changeAttempts {
		// Read v1.batch before the freeze: any change after this makes the patch below fail.
		now, readErr := i.Cluster.BatchAPIService(ctx)
		switch {
		case readErr != nil:
			return "", readErr
		case now.Service == nil && !now.Importing && !now.DedicatedEtcd:
			return detail + " already", nil
		case now.Service != nil && !now.ServedBy(i.Batchgate.Service):
			return "", fmt.Errorf("%s was pointed to %s by another client", policy.BatchAPIService, now.Server())
		}
		if _, err := i.freeze.verifyHeld(ctx); err != nil {
			return "", err
		}
		// The condition Available of v1.batch may change at any time.
		if err = i.Cluster.RollBackFrom(ctx, now); !apierrors.IsConflict(err) {
			break
		}
	}
	return detail, err
}

// copy copies all objects and verifies that both servers have what was copied.
func (i *Import) copy(ctx context.Context) (string, error) {
	direct, err := i.Batchgate.Connect(ctx)
	if err != nil {
		return "", err
	}
	if i.copied, err = copyTo(ctx, i.Cluster.Kube, i.Etcd, i.Progress); err != nil {
		return "", err
	}
	// A write that was admitted before the freeze may have been stored during the copy.
	if _, err := verifyCopied(ctx, i.Cluster.Kube, i.copied); err != nil {
		return "", fmt.Errorf("verifying what kube-apiserver has: %w: run this again", err)
	}
	if _, err := verifyCopied(ctx, direct, i.copied); err != nil {
		return "", fmt.Errorf("verifying what Batchgate has: %w: run this again", err)
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
			{Name: "other operations", Run: checkNotFrozen(i.Cluster, i.Resume)},
			{Name: "marker", Run: i.checkMarker},
			{Name: "guard", Run: i.ensureGuard},
			{Name: "available", Run: i.awaitAvailable},
			{Name: "every kube-apiserver", Run: awaitServedFrom(i.Cluster, i.Etcd)},
			{Name: "mark as serving", Run: i.markServing},
		}
	}
	return steps.Run(ctx, append(list,
		steps.Step{Name: "unfreeze", Run: unfreeze},
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
	return "the etcd has the Jobs of this cluster", nil
}

func (i *Import) ensureGuard(ctx context.Context) (string, error) {
	return ensureGuard(ctx, i.Cluster)
}

func (i *Import) awaitAvailable(ctx context.Context) (string, error) {
	timeout := i.Timeout
	if timeout == 0 {
		timeout = takeover.DefaultTimeout
	}
	return i.Cluster.AwaitAvailable(i.Batchgate.Service, timeout)(ctx)
}

// markServing records on v1.batch and in the etcd's marker that the etcd's Jobs are authoritative.
// After that, only an export can roll back.
func (i *Import) markServing(ctx context.Context) (string, error) {
	var err error
	if i.clusterUID, err = i.Cluster.UID(ctx); err != nil {
		return "", err
	}
	err = i.annotate(ctx)
	// The condition Available of v1.batch may change at any time.
	for range changeAttempts - 1 {
		if !apierrors.IsConflict(err) {
			break
		}
		err = i.annotate(ctx)
	}
	if err != nil {
		return "", err
	}
	return "the Jobs in the dedicated etcd are authoritative", i.Etcd.mark(ctx, marker{i.clusterUID, stateServing})
}

// annotate records on v1.batch that the etcd's Jobs are authoritative. It fails if a rollback has
// changed v1.batch meanwhile.
func (i *Import) annotate(ctx context.Context) error {
	now, err := i.Cluster.BatchAPIService(ctx)
	switch {
	case err != nil:
		return err
	case !now.ServedBy(i.Batchgate.Service):
		return fmt.Errorf("%s was pointed to %s by another client", policy.BatchAPIService, now.Server())
	case now.DedicatedEtcd:
		return nil
	}
	return i.Cluster.SetEtcdAnnotation(ctx, now, policy.EtcdDedicated)
}
