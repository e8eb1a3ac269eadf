// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package takeover

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/plugin/cluster"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
)

// unblockTimeout is how long kube-apiserver may take to notice that v1.batch is available.
const unblockTimeout = 30 * time.Second

// Unblock ends a deadlock: kube-apiserver does not become ready before v1.batch is available, and
// Batchgate cannot start before kube-apiserver is ready. It changes only the status of v1.batch.
// Batchgate need not run.
type Unblock struct {
	Cluster *cluster.Cluster
	// Service is the Service of Batchgate.
	Service cluster.Service
	Report  steps.Reporter
	// DryRun stops after the checks.
	DryRun bool

	// blocked is set if kube-apiserver waits for v1.batch.
	blocked bool
}

// Run checks, sets the status, and waits until kube-apiserver is no longer blocked. If a check fails,
// it returns steps.ErrNothingChanged.
func (u *Unblock) Run(ctx context.Context) error {
	checks := []steps.Step{
		{Name: "permissions", Run: func(ctx context.Context) (string, error) {
			return u.Cluster.CheckPermissions(ctx, cluster.UnblockPermissions())
		}},
		{Name: "current state", Run: u.checkState},
		{Name: "kube-apiserver", Run: u.checkKubeAPIServer},
	}
	if err := steps.Check(ctx, checks, u.Report); err != nil {
		return fmt.Errorf("%w: %w", err, steps.ErrNothingChanged)
	}
	const name = "unblock"
	if u.DryRun {
		u.Report(steps.Result{Name: name, Detail: "would set the condition Available of " + policy.BatchAPIService + " to True"})
		return nil
	}
	after := []steps.Step{{Name: name, Run: func(ctx context.Context) (string, error) {
		return "the condition Available of " + policy.BatchAPIService + " was set to True", u.Cluster.SetAvailable(ctx, u.Service)
	}}}
	if u.blocked {
		after = append(after, steps.Step{Name: "kube-apiserver", Run: u.await})
	}
	return steps.Run(ctx, after, u.Report)
}

// checkState fails if v1.batch does not point to Batchgate or is available.
func (u *Unblock) checkState(ctx context.Context) (string, error) {
	a, err := u.Cluster.BatchAPIService(ctx)
	switch {
	case err != nil:
		return "", err
	case !a.RefersTo(u.Service):
		return "", fmt.Errorf("%s is served by %s, not by %s: there is nothing to unblock", policy.BatchAPIService, a.Server(), u.Service)
	case a.Available == string(metav1.ConditionTrue):
		return "", fmt.Errorf("%s is available already, so kube-apiserver does not wait for it: see its /readyz?verbose if it is not ready", policy.BatchAPIService)
	}
	return fmt.Sprintf("%s is served by %s and not available: %s", policy.BatchAPIService, a.Server(), a.Reason), nil
}

// checkKubeAPIServer finds out whether this kube-apiserver is blocked. Others may be even if it is not.
func (u *Unblock) checkKubeAPIServer(ctx context.Context) (string, error) {
	var err error
	if u.blocked, err = cluster.Blocked(ctx, u.Cluster.Kube); err != nil {
		return "", err
	}
	if !u.blocked {
		return "this kube-apiserver does not wait for " + policy.BatchAPIService + "; another one may", nil
	}
	return "not ready, since it waits for " + policy.BatchAPIService, nil
}

func (u *Unblock) await(ctx context.Context) (string, error) {
	began := time.Now()
	err := wait.PollUntilContextTimeout(ctx, u.Cluster.Timing.Poll, unblockTimeout, true, func(ctx context.Context) (bool, error) {
		blocked, err := cluster.Blocked(ctx, u.Cluster.Kube)
		return !blocked, err
	})
	if err != nil {
		return "", fmt.Errorf("kube-apiserver still waits for an APIService: %w: run %s again, and see kubectl get --raw '/readyz/autoregister-completion'", err, cluster.UnblockCommand)
	}
	return "no longer waits, after " + time.Since(began).Round(10*time.Millisecond).String(), nil
}
