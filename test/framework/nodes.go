// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// nodeNames are the fake nodes. Each has capacity for all Pods of a test run.
var nodeNames = []string{"fake-1", "fake-2"}

// addNodes creates the fake nodes and waits until they are ready.
func (c *Cluster) addNodes(ctx context.Context) error {
	nodes := c.Client.CoreV1().Nodes()
	for _, name := range nodeNames {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}}}
		if _, err := nodes.Create(ctx, node, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("adding the fake node %s: %w", name, err)
		}
	}
	return c.Kwok.waitUntil(ctx, "running ready nodes", func(ctx context.Context) bool {
		list, err := nodes.List(ctx, metav1.ListOptions{})
		return err == nil && !slices.ContainsFunc(list.Items, func(node corev1.Node) bool { return !nodeReady(node) })
	})
}

// nodeReady reports whether Pods can be scheduled to the node.
func nodeReady(node corev1.Node) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue {
			return len(node.Spec.Taints) == 0
		}
	}
	return false
}
