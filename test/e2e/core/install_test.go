// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package core

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/test/e2e/internal/session"
	"github.com/batchgate/batchgate/test/framework"
)

// kwok is the kubelet, so a running Pod shows only that it was admitted and scheduled.
func TestDeploymentMeetsRestrictedPodSecurity(t *testing.T) {
	t.Parallel()
	namespace, err := cluster.Client.CoreV1().Namespaces().Get(t.Context(), framework.Namespace, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := namespace.Labels["pod-security.kubernetes.io/enforce"]; got != "restricted" {
		t.Errorf("namespace enforces %q, want restricted", got)
	}
	session.Eventually(t, "have two running Pods on two nodes", func() error {
		pods, err := cluster.Client.CoreV1().Pods(framework.Namespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + framework.Name})
		if err != nil {
			return err
		}
		running, nodes := 0, map[string]bool{}
		for _, pod := range pods.Items {
			if pod.Status.Phase == corev1.PodRunning {
				running++
				nodes[pod.Spec.NodeName] = true
			}
		}
		if running != 2 || len(nodes) != 2 {
			return fmt.Errorf("%d Pods run on %d nodes", running, len(nodes))
		}
		return nil
	})
	_, _, err = cluster.Kubectl().Run(t.Context(), "--namespace="+framework.Namespace, "run", "other", "--image=example.com/work:1", "--dry-run=server")
	if err == nil || !strings.Contains(err.Error(), `violates PodSecurity "restricted:`) {
		t.Errorf("unrestricted Pod: got error %v, want a PodSecurity violation", err)
	}
}
