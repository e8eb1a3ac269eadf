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

// InstallBatchEtcd applies artifacts/overlays/batch-etcd, and runs one replica of Batchgate on
// that etcd.
func (c *Cluster) InstallBatchEtcd(ctx context.Context, etcd *BatchEtcd) error {
	if err := c.ApplyOverlay(ctx, "batch-etcd"); err != nil {
		return err
	}
	if err := c.createServingSecret(ctx); err != nil {
		return err
	}
	ca, err := os.ReadFile(etcd.CAFile)
	if err != nil {
		return err
	}
	cert, key, err := etcd.clients.Sign(etcdClient(Name))
	if err != nil {
		return err
	}
	if err := c.createTLSSecret(ctx, "batchgate-etcd-client", ca, cert, key); err != nil {
		return err
	}
	pods, err := c.awaitPods(ctx, Name, 2)
	if err != nil {
		return err
	}
	addresses := map[string]string{"batch-etcd.invalid:2379": strings.TrimPrefix(etcd.URL, "https://")}
	if err := c.runBatchgate(ctx, &pods[0], Machine{Addresses: addresses}); err != nil {
		return err
	}
	return c.ServePolicies(ctx)
}

// StaticPod reads the static Pod of artifacts/overlays/shared-etcd.
func StaticPod() (*corev1.Pod, error) {
	root, err := Root()
	if err != nil {
		return nil, err
	}
	content, err := os.ReadFile(filepath.Join(root, "artifacts", "overlays", "shared-etcd", "static-pod.yaml"))
	if err != nil {
		return nil, err
	}
	pod := &corev1.Pod{}
	return pod, yaml.UnmarshalStrict(content, pod)
}

// MirrorPod returns what the kubelet of a node makes in the API of a static Pod.
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

// InstallStaticPod applies artifacts/overlays/shared-etcd, and does what the kubelet of a
// control-plane node does with the static Pod. Features.EtcdTLS must be on.
func (c *Cluster) InstallStaticPod(ctx context.Context) error {
	if err := c.ApplyOverlay(ctx, "shared-etcd"); err != nil {
		return err
	}
	static, err := StaticPod()
	if err != nil {
		return err
	}
	directory := filepath.Join(c.Dir, "node")
	if err := c.prepareNode(directory); err != nil {
		return fmt.Errorf("making what the static Pod needs on its node: %w", err)
	}
	machine := Machine{
		Addresses: map[string]string{"127.0.0.1:2379": strings.TrimPrefix(c.EtcdTLSURL(), "https://")},
		HostPaths: map[string]string{
			"/etc/kubernetes/batchgate":       directory,
			"/etc/kubernetes/pki/etcd/ca.crt": c.pki.path("etcd-ca.crt"),
		},
	}
	if err := c.runBatchgate(ctx, static, machine); err != nil {
		return err
	}
	if _, err := c.Client.CoreV1().Pods(Namespace).Create(ctx, MirrorPod(static, nodeNames[0]), metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("making the mirror Pod: %w", err)
	}
	return c.ServePolicies(ctx)
}

// prepareNode fills the directory that the static Pod mounts.
func (c *Cluster) prepareNode(directory string) error {
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return err
	}
	cert, key, err := c.servingCertificate()
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
	etcdCA, err := pki.LoadOrCreate(c.pki.path("etcd-ca.crt"), c.pki.path("etcd-ca.key"), "etcd-ca")
	if err != nil {
		return err
	}
	if err := etcdCA.SignFiles(path("etcd-client.crt"), path("etcd-client.key"), etcdClient(Name)); err != nil {
		return err
	}
	return c.pki.ca.WriteKubeconfig(path("kubeconfig"), c.serverURL(), pkix.Name{CommonName: Name})
}

// RunStandalone applies artifacts/overlays/standalone, runs its Pod, and returns kubectl as
// the admin of that server.
func (c *Cluster) RunStandalone(ctx context.Context) (*LocalPod, Kubectl, error) {
	const name = "batchgate-standalone"
	if err := c.ApplyOverlay(ctx, "standalone"); err != nil {
		return nil, Kubectl{}, err
	}
	pods, err := c.awaitPodsIn(ctx, name, name, 1)
	if err != nil {
		return nil, Kubectl{}, err
	}
	pod, err := c.NewPod(ctx, &pods[0], Machine{})
	if err != nil {
		return nil, Kubectl{}, err
	}
	if err := pod.Start(ctx); err != nil {
		return nil, Kubectl{}, err
	}
	kubectl := c.Kubectl()
	kubectl.Kubeconfig = filepath.Join(c.Dir, "volumes", "data-"+pods[0].Name, "admin.kubeconfig")
	return pod, kubectl, pod.AwaitReady(ctx)
}
