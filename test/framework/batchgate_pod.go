// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
)

// createTLSSecret creates a Secret in the namespace of Batchgate.
func (c *Cluster) createTLSSecret(ctx context.Context, name string, ca, cert, key []byte) error {
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Type:       corev1.SecretTypeTLS,
		Data:       map[string][]byte{"ca.crt": ca, corev1.TLSCertKey: cert, corev1.TLSPrivateKeyKey: key},
	}
	_, err := c.Client.CoreV1().Secrets(Namespace).Create(ctx, secret, metav1.CreateOptions{})
	return err
}

// waitForPods waits until controllers have created the Pods with the label
// app.kubernetes.io/name, and returns them sorted by name.
func (c *Cluster) waitForPods(ctx context.Context, namespace, name string, count int) ([]corev1.Pod, error) {
	var pods []corev1.Pod
	err := wait.PollUntilContextTimeout(ctx, pollInterval, readyTimeout, true, func(ctx context.Context) (bool, error) {
		list, err := c.Client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + name})
		if err != nil {
			return false, nil
		}
		pods = list.Items
		return len(pods) == count, nil
	})
	if err != nil {
		return nil, fmt.Errorf("waiting for %d Pods of %s, found %d: %w; see the events of its controller", count, name, len(pods), err)
	}
	slices.SortFunc(pods, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return pods, nil
}

// RunDeployment runs a Pod of the Deployment batchgate-apiserver as c.Batchgate, on a port of the
// loopback interface, and waits until it is ready. The caller has applied the Deployment, its
// Secrets and a Service that leads to the port.
func (c *Cluster) RunDeployment(ctx context.Context, port int) error {
	secret, err := c.Client.CoreV1().Secrets(Namespace).Get(ctx, "batchgate-serving", metav1.GetOptions{})
	if err != nil {
		return err
	}
	c.batchgateCA = secret.Data["ca.crt"]
	pods, err := c.waitForPods(ctx, Namespace, Name, 2)
	if err != nil {
		return err
	}
	containerPort := pods[0].Spec.Containers[0].Ports[0].ContainerPort
	return c.runBatchgatePod(ctx, &pods[0], podOverrides{ports: map[int32]int{containerPort: port}})
}

// runBatchgatePod runs a Pod of Batchgate as c.Batchgate and waits until it is ready.
func (c *Cluster) runBatchgatePod(ctx context.Context, pod *corev1.Pod, overrides podOverrides) error {
	port := pod.Spec.Containers[0].Ports[0].ContainerPort
	c.batchgatePort = overrides.ports[port]
	if c.batchgatePort == 0 {
		var err error
		if c.batchgatePort, err = FreePort(); err != nil {
			return err
		}
		overrides.ports = map[int32]int{port: c.batchgatePort}
	}
	local, err := c.newLocalPod(ctx, pod, overrides)
	if err != nil {
		return err
	}
	if err := local.Start(ctx); err != nil {
		return err
	}
	c.Batchgate = local.Processes[0]
	return local.WaitUntilReady(ctx)
}
