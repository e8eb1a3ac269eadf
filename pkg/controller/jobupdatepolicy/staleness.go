// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package jobupdatepolicy

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/klog/v2"
)

const (
	// stalenessCheckInterval is the time between comparisons of the active policies with the
	// stored ones.
	stalenessCheckInterval = 10 * time.Second
	// stalenessThreshold is the number of consecutive differences that make the replica not
	// ready. A single one is normal, because a change takes a moment to arrive.
	stalenessThreshold = 2
)

// detectStaleness compares the active policies with the stored ones until ctx is done. The
// informer does not detect every difference. For example, a policy that cannot be decoded ends the
// informer's watch without an error.
func (c *Controller) detectStaleness(ctx context.Context) {
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		err := c.checkStaleness(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			klog.FromContext(ctx).Error(err, "Active policies differ from stored policies")
		}
		c.recordStaleness(err)
	}, stalenessCheckInterval)
}

// recordStaleness records the result of a comparison. While the policies are outdated, the replica
// is not ready. After notReadyLimit it becomes ready again, and answers updates of Jobs with 503.
// recordStaleness must not be called concurrently.
func (c *Controller) recordStaleness(err error) {
	if err == nil {
		c.differences = 0
		c.staleErr.Store(nil)
		c.snapshots.SetUnavailable(nil)
		upToDate.Set(1)
		return
	}
	if c.differences++; c.differences >= stalenessThreshold {
		err = fmt.Errorf("the server misses changes of JobUpdatePolicies: %w", err)
		if c.staleErr.Swap(&err) == nil {
			c.staleSince = c.now()
		}
		if c.now().Sub(c.staleSince) >= notReadyLimit {
			c.snapshots.SetUnavailable(err)
		}
		upToDate.Set(0)
	}
}

// checkStaleness returns an error if the stored policies cannot be read or differ from the
// active ones. The server answers from its watch cache once that is as new as etcd, and fails if the
// cache could not read a policy. It sends only metadata, as protobuf, because decoding many
// policies from JSON takes a second of CPU time.
func (c *Controller) checkStaleness(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stalenessCheckInterval)
	defer cancel()
	stored, err := c.metadata.List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for i := range stored.Items {
		active, err := c.lister.Get(stored.Items[i].Name)
		if err != nil || versionOf(active) != versionOf(&stored.Items[i]) {
			return fmt.Errorf("policy %s has changed", stored.Items[i].Name)
		}
	}
	if active := len(c.informer.GetStore().ListKeys()); active != len(stored.Items) {
		return fmt.Errorf("%d policies are active and %d are stored", active, len(stored.Items))
	}
	return nil
}
