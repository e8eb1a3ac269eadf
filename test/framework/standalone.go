// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"context"
	"path/filepath"
)

// RunStandalone applies artifacts/overlays/standalone and runs its Pod. The returned kubectl
// authenticates to the standalone server as its admin.
func (c *Cluster) RunStandalone(ctx context.Context) (*LocalPod, Kubectl, error) {
	const name = "batchgate-standalone"
	if err := c.applyOverlay(ctx, "standalone"); err != nil {
		return nil, Kubectl{}, err
	}
	pods, err := c.waitForPods(ctx, name, name, 1)
	if err != nil {
		return nil, Kubectl{}, err
	}
	pod, err := c.newLocalPod(ctx, &pods[0], podOverrides{})
	if err != nil {
		return nil, Kubectl{}, err
	}
	if err := pod.Start(ctx); err != nil {
		return nil, Kubectl{}, err
	}
	kubectl := c.Kubectl()
	kubectl.Kubeconfig = filepath.Join(c.Dir, "volumes", "data-"+pods[0].Name, "admin.kubeconfig")
	return pod, kubectl, pod.WaitUntilReady(ctx)
}
