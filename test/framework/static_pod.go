// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"context"
	"crypto/x509/pkix"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/batchgate/batchgate/pkg/pki"
)

// StaticPod reads the static Pod of artifacts/overlays/shared-etcd.
func StaticPod() (*corev1.Pod, error) {
	content, err := readFile("artifacts", "overlays", "shared-etcd", "static-pod.yaml")
	if err != nil {
		return nil, err
	}
	pod := &corev1.Pod{}
	return pod, yaml.UnmarshalStrict(content, pod)
}

// MirrorPod returns the mirror Pod that the kubelet of a node creates for a static Pod.
func MirrorPod(static *corev1.Pod, node string) *corev1.Pod {
	pod := static.DeepCopy()
	pod.Name += "-" + node
	pod.Annotations = map[string]string{
		"kubernetes.io/config.hash":   "0",
		corev1.MirrorPodAnnotationKey: "0",
		"kubernetes.io/config.seen":   "2026-01-01T00:00:00Z",
		"kubernetes.io/config.source": "file",
	}
	pod.Spec.NodeName = node
	pod.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute}}
	return pod
}

// InstallStaticPod applies artifacts/overlays/shared-etcd, runs the static Pod as the kubelet of
// a control-plane node does, and registers the policy API. It needs ClusterOptions.EtcdTLS.
func (c *Cluster) InstallStaticPod(ctx context.Context) error {
	if err := c.applyOverlay(ctx, "shared-etcd"); err != nil {
		return err
	}
	static, err := StaticPod()
	if err != nil {
		return err
	}
	directory := filepath.Join(c.Dir, "node")
	if err := c.prepareNode(directory); err != nil {
		return fmt.Errorf("preparing the node of the static Pod: %w", err)
	}
	overrides := podOverrides{
		addresses: map[string]string{"127.0.0.1:2379": strings.TrimPrefix(c.EtcdTLSURL(), "https://")},
		hostPaths: map[string]string{
			"/etc/kubernetes/batchgate":       directory,
			"/etc/kubernetes/pki/etcd/ca.crt": c.pki.path("etcd-ca.crt"),
		},
	}
	if err := c.runBatchgatePod(ctx, static, overrides); err != nil {
		return err
	}
	if _, err := c.Client.CoreV1().Pods(Namespace).Create(ctx, MirrorPod(static, nodeNames[0]), metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("creating the mirror Pod: %w", err)
	}
	return c.RegisterPolicyAPI(ctx)
}

// prepareNode writes the files of the host path that the static Pod mounts.
func (c *Cluster) prepareNode(directory string) error {
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return err
	}
	cert, key, err := c.newServingCertificate()
	if err != nil {
		return err
	}
	path := func(name string) string { return filepath.Join(directory, name) }
	if err := pki.WriteFile(path("serving.crt"), cert); err != nil {
		return err
	}
	if err := pki.WriteFile(path("serving.key"), key); err != nil {
		return err
	}
	etcdCA, err := c.etcdCA()
	if err != nil {
		return err
	}
	if err := etcdCA.SignFiles(path("etcd-client.crt"), path("etcd-client.key"), etcdClientTemplate(Name)); err != nil {
		return err
	}
	return c.pki.ca.WriteKubeconfig(path("kubeconfig"), c.apiServerURL(), pkix.Name{CommonName: Name})
}
