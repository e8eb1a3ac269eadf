// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package takeover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/plugin/cluster"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
)

const (
	// DefaultTimeout is how long kube-apiserver may take to consider Batchgate available.
	DefaultTimeout = time.Minute
	// DefaultRestartTimeout is how long the restarts of all kube-apiservers may take.
	DefaultRestartTimeout = time.Hour
	undoTimeout           = time.Minute
)

// Takeover points v1.batch to Batchgate.
type Takeover struct {
	Cluster   *cluster.Cluster
	Batchgate *cluster.Batchgate
	Report    steps.Reporter
	// CanaryNamespace is the namespace of the Job and the CronJob that the checks create and delete.
	// Empty means "default".
	CanaryNamespace string
	// DryRun stops after the checks.
	DryRun bool
	// Timeout is how long kube-apiserver may take to consider Batchgate available. 0 means
	// DefaultTimeout.
	Timeout time.Duration
	// Exclusive makes Run wait until every kube-apiserver was restarted with
	// --runtime-config=batch/v1=false.
	Exclusive bool
	// RestartTimeout is how long Exclusive waits. 0 means DefaultRestartTimeout.
	RestartTimeout time.Duration
	// Progress receives messages while Exclusive waits. It may be nil otherwise.
	Progress func(string)
}

// Run checks, takes over, and verifies. If verification fails, it rolls back and returns
// steps.ErrRolledBack. If a check fails, it returns steps.ErrNothingChanged.
func (t *Takeover) Run(ctx context.Context) error {
	if err := steps.Check(ctx, Preflight(t.Cluster, t.Batchgate, cmp.Or(t.CanaryNamespace, metav1.NamespaceDefault)), t.Report); err != nil {
		return fmt.Errorf("%w: %w", err, steps.ErrNothingChanged)
	}
	before, err := t.Cluster.BatchAPIService(ctx)
	if apierrors.IsNotFound(err) {
		before, err = &cluster.APIService{}, nil // kube-apiserver creates it only if it serves batch/v1 itself
	}
	if err != nil {
		return fmt.Errorf("%w: %w", err, steps.ErrNothingChanged)
	}
	service := t.Batchgate.Service
	if t.DryRun {
		t.Report(steps.Result{Name: "take over", Detail: "would point " + policy.BatchAPIService + " to " + service.String(), Undo: cluster.RollbackCommand})
		if t.Exclusive {
			t.Report(steps.Result{Name: "exclusive", Detail: "would wait for restarts with --runtime-config=batch/v1=false; " + t.Cluster.FindNative(ctx).String(), Undo: undoExclusive})
		}
		return nil
	}
	etcd, err := t.etcdAnnotation(ctx, before)
	if err != nil {
		return fmt.Errorf("%w: %w", err, steps.ErrNothingChanged)
	}
	annotations, err := t.Cluster.TakeoverAnnotations(ctx, service, etcd)
	if err != nil {
		return fmt.Errorf("%w: %w", err, steps.ErrNothingChanged)
	}
	available := steps.Step{Name: "available", Run: t.Cluster.AwaitAvailable(service, t.timeout())}
	served := steps.Step{Name: "every kube-apiserver", Run: t.Cluster.AwaitServed(service, t.timeout(), nil)}
	if before.TakenOver(t.Batchgate, annotations) {
		// A failure here does not roll back, since this command changed nothing.
		t.Report(steps.Result{Name: "take over", Detail: policy.BatchAPIService + " is served by " + service.String() + " already", Undo: cluster.RollbackCommand})
		return steps.Run(ctx, append([]steps.Step{available, served}, t.exclusive()...), t.Report)
	}
	err = steps.Run(ctx, []steps.Step{{Name: "take over", Undo: cluster.RollbackCommand, Run: func(ctx context.Context) (string, error) {
		return policy.BatchAPIService + " points to " + service.String(), t.Cluster.TakeOver(ctx, before, t.Batchgate, annotations)
	}}}, t.Report)
	switch {
	case err == nil:
		p := &preflight{cluster: t.Cluster, batchgate: t.Batchgate}
		err = steps.Run(ctx, []steps.Step{available, {Name: "objects through kube-apiserver", Run: p.compare(cluster.CompareObjects)}, served}, t.Report)
		if err == nil {
			return steps.Run(ctx, t.exclusive(), t.Report)
		}
	case !errors.Is(err, cluster.ErrUnknown):
		return fmt.Errorf("%w: %w", err, steps.ErrNothingChanged)
	}
	// The rollback runs even if the command was interrupted.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	rollback := Rollback{Cluster: t.Cluster, Report: t.Report, undo: true}
	undoErr := rollback.Run(ctx)
	switch {
	case errors.Is(undoErr, cluster.ErrNotNative):
		return fmt.Errorf("%w; not rolled back: %v", err, undoErr)
	case undoErr != nil:
		return fmt.Errorf("%w, and the rollback failed: %v; run: %s", err, undoErr, cluster.RollbackCommand)
	}
	return fmt.Errorf("%w: the takeover was rolled back: %w", err, steps.ErrRolledBack)
}

// etcdAnnotation returns the etcd annotation that v1.batch must have. If there is a guard, the Jobs
// are in a dedicated etcd, and somebody has rolled back by hand. The guard makes the canary check fail,
// but that check is skipped if kube-apiserver does not serve batch/v1 itself. The annotation then makes
// a later rollback fail, which would return to kube-apiserver's outdated Jobs.
func (t *Takeover) etcdAnnotation(ctx context.Context, before *cluster.APIService) (string, error) {
	if before.Service != nil {
		return "", nil // it stays as it is
	}
	guarded, err := t.Cluster.HasBinding(ctx, policy.GuardName)
	switch {
	case apierrors.IsForbidden(err):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("checking for a guard: %w", err)
	case guarded:
		return policy.EtcdDedicated, nil
	}
	return "", nil
}

func (t *Takeover) timeout() time.Duration {
	if t.Timeout == 0 {
		return DefaultTimeout
	}
	return t.Timeout
}
