// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package takeover

import (
	"cmp"
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/batchgate/batchgate/pkg/plugin/cluster"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
)

const (
	// restartPoll is the number of polls that one check of all kube-apiservers replaces. A check sends
	// several requests, and restarts take minutes.
	restartPoll = 8

	undoExclusive = "restart every kube-apiserver without --runtime-config=batch/v1=false, then " + cluster.RollbackCommand
)

// exclusive returns the step that waits until no kube-apiserver can serve Jobs without the gate. There
// is none unless Exclusive is set.
func (t *Takeover) exclusive() []steps.Step {
	if !t.Exclusive {
		return nil
	}
	return []steps.Step{{Name: "exclusive", Undo: undoExclusive, Run: t.awaitExclusive}}
}

// awaitExclusive reports each change as progress. A failure undoes nothing: updates are gated, except
// while a kube-apiserver without the flag starts.
func (t *Takeover) awaitExclusive(ctx context.Context) (string, error) {
	servers, reported := &cluster.NativeServers{}, ""
	timeout := cmp.Or(t.RestartTimeout, DefaultRestartTimeout)
	err := wait.PollUntilContextTimeout(ctx, restartPoll*t.Cluster.Timing.Poll, timeout, true, func(ctx context.Context) (bool, error) {
		found := t.Cluster.FindNative(ctx, servers)
		if ctx.Err() != nil {
			return false, ctx.Err() // the result is of a check that was interrupted
		}
		servers = found
		if now := servers.String(); now != reported && !servers.Exclusive() {
			t.Progress("restart every kube-apiserver with --runtime-config=batch/v1=false; " + now)
			reported = now
		}
		return servers.Exclusive(), nil
	})
	if err != nil {
		return "", fmt.Errorf("%s serves Jobs, but not all kube-apiservers are known to run with --runtime-config=batch/v1=false: %s: %w: restart them, one by one, and run %s --exclusive again where all of them can be reached",
			t.Batchgate.Service, servers, err, cluster.TakeoverCommand)
	}
	return fmt.Sprintf("no kube-apiserver can serve Jobs without the gate: %s", servers), nil
}
