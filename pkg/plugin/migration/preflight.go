// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package migration

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	authorizationv1 "k8s.io/api/authorization/v1"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/plugin/cluster"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
	"github.com/batchgate/batchgate/pkg/plugin/takeover"
)

// revisionMargin is the minimum difference between the revisions of the dedicated etcd and of the
// cluster's etcd, whose revision keeps growing.
const revisionMargin = 1_000_000_000

// checks returns the checks that must pass before the first change.
func (i *Import) checks() []steps.Step {
	c := i.Cluster
	checks := []steps.Step{
		{Name: "permissions", Run: func(ctx context.Context) (string, error) {
			needed := slices.Concat(takeover.Permissions(i.Batchgate.Service), takeover.WebhookPermissions(), permissions(), []authorizationv1.ResourceAttributes{
				{Group: admissionv1.GroupName, Resource: "validatingadmissionpolicybindings", Verb: "patch"},
			})
			return c.CheckPermissions(ctx, append(needed,
				authorizationv1.ResourceAttributes{Group: "batch", Resource: "cronjobs", Verb: "create"},
				authorizationv1.ResourceAttributes{Group: "batch", Resource: "cronjobs", Verb: "delete"},
			))
		}},
		{Name: "current server", Run: i.checkNative},
		{Name: "other operations", Run: i.freeze.check(i.Resume)},
	}
	return append(append(checks, takeover.ServerChecks(c, i.Batchgate)...),
		takeover.WebhookCheck(c, i.Batchgate, i.Controllers.Namespace),
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
		return "", fmt.Errorf("%s is served by %s: if that is Batchgate, set --service and --service-namespace, otherwise point it to kube-apiserver first", policy.BatchAPIService, a.Server())
	}
	if err := i.Cluster.VerifyNative(ctx); errors.Is(err, cluster.ErrNotNative) {
		return "", fmt.Errorf("%w: restart it without that flag, since its Jobs are imported", err)
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
	uid, err := i.Cluster.UID(ctx)
	if err != nil {
		return "", err
	}
	mark, err := i.Etcd.marker(ctx)
	if err != nil {
		return "", err
	}
	i.marker = marker{Cluster: uid}
	if mark != nil {
		i.marker.revision = mark.revision
	}
	if i.earlierGuard, err = i.Cluster.BindingUID(ctx, policy.GuardName); err != nil {
		return "", err
	}
	guarded := i.earlierGuard != ""
	objects, err := i.Etcd.checksums(ctx)
	if err != nil {
		return "", err
	}
	maps.DeleteFunc(objects, func(id string, _ checksum) bool { return isCanary(id) })
	n := len(objects)
	switch {
	case mark != nil && mark.Cluster != uid:
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
	return "", fmt.Errorf("it has %d Jobs and CronJobs that are left from earlier: check whether they are needed, or set --overwrite to discard them", n)
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
