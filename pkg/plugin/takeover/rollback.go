// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package takeover

import (
	"context"
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/plugin/cluster"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
)

// ErrDedicatedEtcd is returned if a rollback would lose Jobs.
var ErrDedicatedEtcd = errors.New("the Jobs are in a dedicated etcd, and kube-apiserver only has outdated ones: it would run finished Jobs again, and the garbage collector would delete the Pods of new Jobs. " +
	"Set --etcd-servers to the cluster's etcd to move the Jobs back")

// errNotFrozen is returned if a rollback during an import would lose Jobs.
var errNotFrozen = errors.New("the freeze of the import was lifted or edited, so clients may have written to the dedicated etcd, and kube-apiserver would lose that: " +
	"run " + cluster.ImportCommand + " --resume to finish the import")

// Rollback points v1.batch back to kube-apiserver, if both servers use one etcd. It needs nothing
// from Batchgate.
type Rollback struct {
	Cluster *cluster.Cluster
	Report  steps.Reporter
	// DryRun only reports what would be done.
	DryRun bool
	// undo is set if this undoes a takeover. Then only the kube-apiserver of the kubeconfig must be able
	// to serve Jobs itself. Others that cannot could not before the takeover either.
	undo bool
}

// Run rolls back. It succeeds if there is nothing to do.
func (r *Rollback) Run(ctx context.Context) error {
	verify := r.Cluster.VerifyEveryNative
	if r.undo {
		verify = r.Cluster.VerifyNative
	}
	notNative := verify(ctx)
	if !errors.Is(notNative, cluster.ErrNotNative) {
		notNative = nil // No other error may prevent a rollback.
	}
	var after []steps.Step
	// After a conflict, run reads v1.batch again.
	err := cluster.RetryOnConflict(ctx, func() (err error) {
		after, err = r.run(ctx, notNative)
		return err
	})
	if err != nil {
		return err
	}
	return steps.Run(ctx, after, r.Report)
}

// run points v1.batch to kube-apiserver and returns the steps that follow. notNative is the reason why a
// kube-apiserver cannot serve Jobs, or nil.
func (r *Rollback) run(ctx context.Context, notNative error) ([]steps.Step, error) {
	const name = "roll back"
	a, err := r.Cluster.BatchAPIService(ctx)
	missing := apierrors.IsNotFound(err)
	switch {
	case missing:
		a = &cluster.APIService{}
	case err != nil:
		return nil, err
	case a.Service != nil && a.DedicatedEtcd:
		return nil, fmt.Errorf("%w: %w", ErrDedicatedEtcd, steps.ErrNothingChanged)
	case a.Service != nil && a.Importing:
		if err := r.checkFrozen(ctx, a); err != nil {
			return nil, fmt.Errorf("%w: %w", err, steps.ErrNothingChanged)
		}
	}
	if notNative != nil {
		if a.Service == nil {
			return nil, fmt.Errorf("%w: %w", cluster.ErrNoServer, steps.ErrNothingChanged)
		}
		return nil, fmt.Errorf("%w: after a rollback, requests for Jobs would fail there. Restart every kube-apiserver without that flag first: %w", notNative, steps.ErrNothingChanged)
	}
	undo := ""
	switch {
	case a.Importing:
		undo = cluster.ImportCommand
	case a.Service != nil:
		undo = cluster.TakeoverCommand
	}
	if r.DryRun {
		detail := policy.BatchAPIService + " is served by kube-apiserver already"
		switch {
		case a.Service != nil:
			detail = fmt.Sprintf("would point %s from %s to kube-apiserver", policy.BatchAPIService, a.Server())
		case missing:
			detail = policy.BatchAPIService + " is missing and would be recreated for kube-apiserver"
		case !a.Native():
			detail += "; would restore its labels and annotations"
		}
		r.Report(steps.Result{Name: name, Detail: detail, Undo: undo})
		return nil, nil
	}
	refresh := true
	switch {
	case missing:
		// kube-apiserver recreates it only when it starts. The deletion has refreshed discovery.
		refresh = false
		if err := r.Cluster.CreateBatchAPIService(ctx); err != nil {
			return nil, err
		}
		r.Report(steps.Result{Name: name, Detail: policy.BatchAPIService + " was missing and is recreated for kube-apiserver"})
	case a.Native():
		fresh, err := r.Cluster.DiscoveryFresh(ctx)
		if err != nil {
			return nil, err
		}
		refresh = !fresh
		r.Report(steps.Result{Name: name, Detail: policy.BatchAPIService + " is served by kube-apiserver already"})
	default:
		// If an import or another takeover continues meanwhile, this fails instead of losing Jobs.
		if err := r.Cluster.RollBack(ctx, a); err != nil {
			return nil, err
		}
		r.Report(steps.Result{Name: name, Detail: policy.BatchAPIService + " points to kube-apiserver", Undo: undo})
	}
	after := []steps.Step{{Name: "jobs through kube-apiserver", Run: r.Cluster.AwaitNative}}
	if refresh {
		after = append(after, steps.Step{Name: "discovery", Run: r.Cluster.RefreshDiscovery})
	}
	return append(after, steps.Step{Name: "all kube-apiservers", Run: r.Cluster.AwaitEveryNative}), nil
}

// checkFrozen fails if the freeze of an import is gone, or was edited or created again.
func (r *Rollback) checkFrozen(ctx context.Context, a *cluster.APIService) error {
	err := r.Cluster.VerifyFreezeThroughout(ctx, a)
	switch {
	case err == nil:
		return nil
	case cluster.Ineffective(err):
		return errNotFrozen
	}
	return fmt.Errorf("checking for the freeze of the import: %w", err)
}
