// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package migration

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/plugin/cluster"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
	"github.com/batchgate/batchgate/pkg/plugin/takeover"
)

// errGuarded is returned if v1.batch was rolled back by hand.
var errGuarded = fmt.Errorf("the Jobs are in a dedicated etcd, and kube-apiserver, which only has outdated ones, denies writes: "+
	"run %s, which takes over again, or, to lose the Jobs there, kubectl delete validatingadmissionpolicybinding %s", cluster.ImportCommand, policy.GuardName)

// Rollback points v1.batch back to kube-apiserver from every state that an import can leave. It
// moves Jobs back if they are in a dedicated etcd.
type Rollback struct {
	Cluster *cluster.Cluster
	Report  steps.Reporter
	// DryRun only reports what would be done.
	DryRun bool
	// Resume also ends the freeze of an operation that was killed.
	Resume bool
	// Batchgate is used if Etcd is set, to check each replica. It may be nil.
	Batchgate *cluster.Batchgate
	// Etcd is the cluster's etcd. It may be nil, unless the Jobs are in a dedicated etcd.
	Etcd *Store
	// Unencrypted allows the move to write unencrypted objects although kube-apiserver encrypts
	// them.
	Unencrypted bool
	// Controllers is used if Etcd is set. Revisions decrease with the move back, so a resumed
	// watch sees nothing until its controller is restarted.
	Controllers Controllers
	// Progress receives messages during long steps. It may be nil if Etcd is.
	Progress func(string)
}

// Run rolls back. It succeeds if there is nothing to do.
func (r *Rollback) Run(ctx context.Context) error {
	// Read these before v1.batch. An import that starts after that has another freeze and another version
	// of the guard, which this rollback must not delete.
	freeze, err := r.Cluster.BindingUID(ctx, policy.FreezeName)
	forbidden := apierrors.IsForbidden(err) // a user without this permission cannot have created the freeze
	if err != nil && !forbidden {
		return err
	}
	guard, err := r.Cluster.Binding(ctx, policy.GuardName)
	if err != nil && !apierrors.IsForbidden(err) {
		return err
	}
	a, err := r.Cluster.BatchAPIService(ctx)
	if apierrors.IsNotFound(err) {
		a = &cluster.APIService{}
	} else if err != nil {
		return err
	}
	if a.Service != nil && a.DedicatedEtcd && r.Etcd != nil {
		e := &export{Rollback: r, before: a}
		return e.run(ctx)
	}
	shared := takeover.Rollback{Cluster: r.Cluster, Report: r.Report, DryRun: r.DryRun}
	if err := shared.Run(ctx); err != nil {
		return err
	}
	if !forbidden {
		err = r.endImport(ctx, a.Importing, freeze, guard)
	}
	if err != nil && r.DryRun {
		return fmt.Errorf("%w: %w", err, steps.ErrNothingChanged)
	}
	if err != nil || r.Etcd == nil || r.DryRun {
		return err
	}
	// An earlier rollback has moved the Jobs back; only the controllers' restart was missing.
	return steps.Run(ctx, []steps.Step{{Name: "controllers", Run: r.Controllers.await(r.Cluster, r.Progress)}}, r.Report)
}

// fenceNative fails if v1.batch does not point to kube-apiserver. It must run before the freeze or the
// guard is deleted: after it, an import that hung before its takeover cannot take over any more.
func fenceNative(ctx context.Context, c *cluster.Cluster) error {
	now, err := c.Fence(ctx)
	if err == nil && now.Service != nil {
		err = cluster.ServerChanged(now)
	}
	return err
}

// endImport ends the freeze and the guard of an import or a rollback that was interrupted. It gets
// the UID of the freeze's binding, and the UID and resource version of the guard's.
func (r *Rollback) endImport(ctx context.Context, importing bool, freeze types.UID, guard *metav1.Preconditions) error {
	frozen := freeze != ""
	switch {
	case !frozen && guard == nil:
		return nil
	case importing || frozen && r.Resume:
	case frozen:
		return errFrozen
	default:
		return errGuarded
	}
	if r.DryRun {
		r.Report(steps.Result{Name: "unfreeze", Detail: "would end the freeze and the guard of an operation that was killed"})
		return nil
	}
	if err := fenceNative(ctx, r.Cluster); err != nil {
		return err
	}
	if err := removeVersion(ctx, r.Cluster, policy.GuardName, guard); err != nil {
		return err
	}
	f := &freezer{cluster: r.Cluster, namespace: r.Controllers.Namespace, earlier: freeze}
	return steps.Run(ctx, []steps.Step{{Name: "unfreeze", Run: f.end}}, r.Report)
}
