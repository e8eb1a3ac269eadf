// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/batchgate/batchgate/pkg/apis/policy"
)

const (
	acceptAggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
	// discoveryConnections is the number of connections that read discovery, to reach several
	// kube-apiservers.
	discoveryConnections = 3
	// refreshAttempts is the maximum number of times that the APIService is recreated.
	refreshAttempts = 3
	// recreateTimeout bounds recreating the APIService, even if the command is interrupted.
	recreateTimeout = time.Minute
)

// RefreshDiscovery deletes and recreates v1.batch after a rollback, so that discovery no longer
// depends on Batchgate.
//
// Without it, the kube-apiservers keep asking Batchgate for its part of discovery, because
// discoveryManager.AddAPIService of kube-aggregator v0.37 ignores an APIService without a Service.
// If Batchgate does not respond, batch/v1 is stale and empty in discovery: kubectl finds no Jobs,
// the garbage collector ignores them, and namespaces stay in Terminating. Deleting the APIService
// ends this. Until it is recreated, the kube-apiservers serve and list batch/v1; only unaggregated
// discovery lacks it.
func (c *Cluster) RefreshDiscovery(ctx context.Context) (string, error) {
	if _, err := c.CheckPermissions(ctx, APIServicePermissions()); err != nil {
		return "", err
	}
	var last error
	for range refreshAttempts {
		if err := c.recreate(ctx); err != nil {
			return "", err
		}
		last = wait.PollUntilContextTimeout(ctx, c.Timing.Poll, c.Timing.Discovery, true, c.DiscoveryFresh)
		if last == nil {
			return "kube-apiserver no longer asks Batchgate", nil
		}
		if ctx.Err() != nil {
			return "", last
		}
	}
	return "", fmt.Errorf("batch/v1 is still stale in discovery: restart kube-apiserver: %w", last)
}

// recreate deletes and creates v1.batch, which kube-apiserver must serve already. It fails if another
// client takes over meanwhile.
func (c *Cluster) recreate(ctx context.Context) error {
	if err := RetryOnConflict(ctx, func() error { return c.deleteBatchAPIService(ctx) }); err != nil {
		return err
	}
	// An interruption must not leave the cluster without the APIService.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recreateTimeout)
	defer cancel()
	time.Sleep(c.Timing.Absence)
	var last error
	err := wait.PollUntilContextCancel(ctx, c.Timing.Poll, true, func(ctx context.Context) (bool, error) {
		last = c.CreateBatchAPIService(ctx)
		return last == nil || apierrors.IsAlreadyExists(last), nil
	})
	if err != nil {
		return fmt.Errorf("recreating it: %w; run: %s", errors.Join(err, last), RollbackCommand)
	}
	if last == nil {
		return nil
	}
	// A kube-apiserver that has started, or a takeover, has created it.
	a, err := c.BatchAPIService(ctx)
	if err == nil && a.Service != nil {
		err = ServerChanged(a)
	}
	return err
}

// deleteBatchAPIService deletes v1.batch if it points to kube-apiserver. If it returns an error, no
// request that is still on its way deletes v1.batch later, unless the fence failed too.
func (c *Cluster) deleteBatchAPIService(ctx context.Context) error {
	a, err := c.BatchAPIService(ctx)
	if err != nil {
		return err
	}
	if a.Service != nil {
		return ServerChanged(a)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recreateTimeout)
	defer cancel()
	err = c.APIServices.ApiregistrationV1().APIServices().Delete(ctx, policy.BatchAPIService, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{ResourceVersion: &a.resourceVersion},
	})
	if err == nil {
		return nil
	}
	err = fmt.Errorf("deleting APIService %s, to recreate it: %w", policy.BatchAPIService, err)
	if Rejected(err) && !apierrors.IsNotFound(err) {
		return err
	}
	// If only the response was lost, the object is gone, and the caller must create it.
	if _, fenceErr := c.Fence(ctx); !apierrors.IsNotFound(fenceErr) {
		return errors.Join(err, fenceErr)
	}
	return nil
}

// DiscoveryFresh reports whether the kube-apiservers list the resources of batch/v1 and do not
// mark them as stale.
func (c *Cluster) DiscoveryFresh(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	for range discoveryConnections {
		kube, closeConnection, err := c.NewConnection()
		if err != nil {
			return false, err
		}
		content, err := kube.Read(ctx, "/apis", ReadOptions{Accept: acceptAggregated})
		closeConnection()
		if err != nil {
			return false, fmt.Errorf("reading discovery: %w", err)
		}
		var list apidiscoveryv2.APIGroupDiscoveryList
		if err := json.Unmarshal(content, &list); err != nil {
			return false, fmt.Errorf("reading discovery: %w", err)
		}
		if !listsBatch(&list) {
			return false, nil
		}
	}
	return true, nil
}

func listsBatch(list *apidiscoveryv2.APIGroupDiscoveryList) bool {
	for _, group := range list.Items {
		for _, version := range group.Versions {
			if group.Name == batchv1.GroupName && version.Version == batchv1.SchemeGroupVersion.Version {
				return version.Freshness == apidiscoveryv2.DiscoveryFreshnessCurrent && len(version.Resources) > 0
			}
		}
	}
	return false
}
