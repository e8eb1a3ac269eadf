package framework

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// nodeNames are the fake nodes. Each has room for everything.
var nodeNames = []string{"fake-1", "fake-2"}

func (c *Cluster) apiServerArgs() []string {
	return []string{
		c.etcdServers(),
		"--bind-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", c.ports.apiServer),
		// Loopback is no address to advertise, so name one that is for documentation
		// and publish none.
		"--advertise-address=192.0.2.1",
		"--endpoint-reconciler-type=none",
		"--service-cluster-ip-range=10.0.0.0/24",
		// A watch that is told to come again does not hold up the end for a minute.
		"--shutdown-send-retry-after=true",
		"--authorization-mode=RBAC",
		"--runtime-config=" + c.features.APIs,
		"--allow-privileged=true",
		"--tls-cert-file=" + c.pki.path("apiserver.crt"),
		"--tls-private-key-file=" + c.pki.path("apiserver.key"),
		"--client-ca-file=" + c.pki.path("ca.crt"),
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + c.pki.path("ca.key"),
		"--service-account-signing-key-file=" + c.pki.path("ca.key"),
		"--requestheader-client-ca-file=" + c.pki.path("front-proxy-ca.crt"),
		"--requestheader-allowed-names=" + frontProxyName,
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-uid-headers=X-Remote-Uid",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + c.pki.path("front-proxy.crt"),
		"--proxy-client-key-file=" + c.pki.path("front-proxy.key"),
	}
}

func (c *Cluster) controllerManagerArgs() []string {
	return []string{
		"--kubeconfig=" + c.pki.path("controller-manager.kubeconfig"),
		"--authentication-kubeconfig=" + c.pki.path("controller-manager.kubeconfig"),
		"--authorization-kubeconfig=" + c.pki.path("controller-manager.kubeconfig"),
		"--bind-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", c.ports.controllerManager),
		"--cert-dir=" + filepath.Join(c.Dir, "controller-manager"),
		"--leader-elect=false",
		"--use-service-account-credentials=true",
		"--service-account-private-key-file=" + c.pki.path("ca.key"),
		"--root-ca-file=" + c.pki.path("ca.crt"),
		// kwok says only once that a node is ready. A node that is not heard of for this time is
		// ready no more, and its Pods are not either, of which kwok takes no notice.
		"--node-monitor-grace-period=24h",
		"-v=2",
	}
}

func (c *Cluster) schedulerArgs() []string {
	return []string{
		"--kubeconfig=" + c.pki.path("scheduler.kubeconfig"),
		"--authentication-kubeconfig=" + c.pki.path("scheduler.kubeconfig"),
		"--authorization-kubeconfig=" + c.pki.path("scheduler.kubeconfig"),
		"--bind-address=127.0.0.1",
		fmt.Sprintf("--secure-port=%d", c.ports.scheduler),
		"--leader-elect=false",
	}
}

func (c *Cluster) kwokArgs() []string {
	return []string{
		"--kubeconfig=" + c.Kubeconfig,
		"--config=" + filepath.Join(c.Dir, "stages.yaml"),
		"--manage-all-nodes=true",
		"--node-ip=127.0.0.1",
	}
}

// addNodes makes the fake nodes, and waits until kwok has made them ready.
func (c *Cluster) addNodes(ctx context.Context) error {
	nodes := c.Client.CoreV1().Nodes()
	for _, name := range nodeNames {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}}}
		if _, err := nodes.Create(ctx, node, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("adding the fake node %s: %w", name, err)
		}
	}
	return c.Kwok.waitUntil(ctx, "playing ready nodes", func(ctx context.Context) bool {
		list, err := nodes.List(ctx, metav1.ListOptions{})
		return err == nil && !slices.ContainsFunc(list.Items, func(node corev1.Node) bool { return !ready(node) })
	})
}

// ready reports whether Pods may be scheduled to the node.
func ready(node corev1.Node) bool {
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue {
			return len(node.Spec.Taints) == 0
		}
	}
	return false
}
