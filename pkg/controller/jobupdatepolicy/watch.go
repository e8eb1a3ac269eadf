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
	// probeInterval is how often the policies in force are compared with those stored.
	probeInterval = 10 * time.Second
	// probeTolerance is how often in a row they may differ: a change may be under way.
	probeTolerance = 2
)

// staleness is the error of a server that goes by policies that have changed since.
type staleness struct{ error }

// probe compares, again and again, the policies in force with those stored. That the watch for
// changes works cannot be told from the watch: a policy that cannot be decoded, for one, ends it
// without a word to whoever watches.
func (c *Controller) probe(ctx context.Context) {
	failures := 0
	wait.UntilWithContext(ctx, func(ctx context.Context) {
		err := c.compare(ctx)
		if err == nil || ctx.Err() != nil {
			failures = 0
			c.stale.Store(nil)
			upToDate.Set(1)
			return
		}
		if failures++; failures >= probeTolerance {
			klog.FromContext(ctx).Error(err, "Changes of policies are not seen")
			c.stale.Store(&staleness{fmt.Errorf("changes of JobUpdatePolicies are not seen: %w", err)})
			upToDate.Set(0)
		}
	}, probeInterval)
}

// compare returns an error if the stored policies cannot be read, or are not those in force.
func (c *Controller) compare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeInterval)
	defer cancel()
	stored, err := c.client.List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for i := range stored.Items {
		known, err := c.lister.Get(stored.Items[i].Name)
		if err != nil || versionOf(known) != versionOf(&stored.Items[i]) {
			return fmt.Errorf("policy %s has changed", stored.Items[i].Name)
		}
	}
	if known := len(c.informer.GetStore().ListKeys()); known != len(stored.Items) {
		return fmt.Errorf("%d policies are in force, and %d stored", known, len(stored.Items))
	}
	return nil
}
