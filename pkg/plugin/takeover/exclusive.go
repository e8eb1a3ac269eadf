// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package takeover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/batchgate/batchgate/pkg/plugin/cluster"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
)

const (
	// restartPoll is the time between checks of all kube-apiservers, as a multiple of Timing.Poll. It is
	// longer because a check sends several requests, and restarts take minutes.
	restartPoll = 8

	undoExclusive = "restart every kube-apiserver without --runtime-config=batch/v1=false, then " + cluster.RollbackCommand
)

// errNotListed is the reason for a kube-apiserver that Service kubernetes lists no longer. It may start again
// without the flag.
var errNotListed = errors.New("no longer listed by Service default/kubernetes")

// exclusive returns the step that waits until no kube-apiserver can serve Jobs without the gate. There
// is none unless Exclusive is set.
func (t *Takeover) exclusive() []steps.Step {
	if !t.Exclusive {
		return nil
	}
	return []steps.Step{{Name: "exclusive", Undo: undoExclusive, Run: t.awaitExclusive}}
}

// awaitExclusive waits until every kube-apiserver that it has seen runs with the flag, for the settle time
// without interruption, because each connection to the address of the kubeconfig may reach another one. It
// reports each change as progress. A failure undoes nothing: updates are gated, except while a kube-apiserver
// without the flag starts.
func (t *Takeover) awaitExclusive(ctx context.Context) (string, error) {
	var servers *cluster.NativeServers
	var since time.Time
	seen, reported := sets.New[string](), ""
	timeout := cmp.Or(t.RestartTimeout, DefaultRestartTimeout)
	err := wait.PollUntilContextTimeout(ctx, restartPoll*t.Cluster.Timing.Poll, timeout, true, func(ctx context.Context) (bool, error) {
		found := t.Cluster.FindNative(ctx)
		if servers != nil && ctx.Err() != nil {
			return false, ctx.Err() // the check was interrupted, so keep the result of the one before
		}
		servers = found
		current := slices.Concat(found.Enabled, found.Disabled, slices.Collect(maps.Keys(found.Unknown)))
		for name := range seen.Difference(sets.New(current...)) {
			found.Unknown[name] = errNotListed
		}
		seen.Insert(found.Enabled...).Insert(found.Disabled...).Delete(cluster.KubeconfigServer)
		if !found.Exclusive() {
			since = time.Time{}
			if now := found.String(); now != reported {
				t.Progress("restart every kube-apiserver with --runtime-config=batch/v1=false; " + now)
				reported = now
			}
			return false, nil
		}
		if since.IsZero() {
			since = time.Now()
		}
		return time.Since(since) >= t.Cluster.Timing.Settle, nil
	})
	if err != nil {
		return "", fmt.Errorf("%s serves Jobs, but not all kube-apiservers are known to run with --runtime-config=batch/v1=false: %s: %w: restart them, one by one, and run %s --exclusive again where all of them can be reached",
			t.Batchgate.Service, servers, err, cluster.TakeoverCommand)
	}
	return fmt.Sprintf("no kube-apiserver can serve Jobs without the gate: %s", servers), nil
}
