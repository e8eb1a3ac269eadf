package framework

import (
	"bytes"
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/batchgate/batchgate/pkg/pki"
)

// overlayBase is what the kustomization of tests is made for.
const overlayBase = "../../../artifacts/base"

// ApplyOverlay applies artifacts/overlays/<name>, with the changes that test/framework/overlay
// makes to the base.
func (c *Cluster) ApplyOverlay(ctx context.Context, name string) error {
	root, err := Root()
	if err != nil {
		return err
	}
	content, err := os.ReadFile(filepath.Join(root, "test", "framework", "overlay", "kustomization.yaml"))
	if err != nil {
		return err
	}
	directory := filepath.Join(c.Dir, "overlay-"+name)
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return err
	}
	// Kustomize takes no absolute paths.
	resource, err := filepath.Rel(directory, filepath.Join(root, "artifacts", "overlays", name))
	if err != nil {
		return err
	}
	if !bytes.Contains(content, []byte(overlayBase)) {
		return fmt.Errorf("test/framework/overlay does not name %s", overlayBase)
	}
	content = bytes.ReplaceAll(content, []byte(overlayBase), []byte(resource))
	if err := os.WriteFile(filepath.Join(directory, "kustomization.yaml"), content, 0o600); err != nil {
		return err
	}
	_, _, err = c.Kubectl().Run(ctx, "apply", "--server-side", "--kustomize", directory)
	return err
}

// servingCertificate signs the certificate that kube-apiserver verifies the server by, with a
// CA of its own.
func (c *Cluster) servingCertificate() (cert, key []byte, err error) {
	ca, err := pki.LoadOrCreate(c.pki.path("batchgate-ca.crt"), c.pki.path("batchgate-ca.key"), "batchgate-ca")
	if err != nil {
		return nil, nil, err
	}
	c.batchgateCA = ca.CertPEM
	return ca.Sign(x509.Certificate{DNSNames: []string{servingName}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
}

// createServingSecret makes the Secret batchgate-serving.
func (c *Cluster) createServingSecret(ctx context.Context) error {
	cert, key, err := c.servingCertificate()
	if err != nil {
		return err
	}
	return c.createTLSSecret(ctx, "batchgate-serving", c.batchgateCA, cert, key)
}

// createTLSSecret makes a Secret beside the server.
func (c *Cluster) createTLSSecret(ctx context.Context, name string, ca, cert, key []byte) error {
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Type:       corev1.SecretTypeTLS,
		Data:       map[string][]byte{"ca.crt": ca, corev1.TLSCertKey: cert, corev1.TLSPrivateKeyKey: key},
	}
	_, err := c.Client.CoreV1().Secrets(Namespace).Create(ctx, secret, metav1.CreateOptions{})
	return err
}

// etcdServer is a template for an etcd that is reached at these names and on loopback.
func etcdServer(names ...string) x509.Certificate {
	return x509.Certificate{
		Subject:     pkix.Name{CommonName: "etcd"},
		DNSNames:    append(names, "localhost"),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

// etcdClient is a template for a client of an etcd.
func etcdClient(name string) x509.Certificate {
	return x509.Certificate{Subject: pkix.Name{CommonName: name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
}

// awaitPods is awaitPodsIn the namespace of the server.
func (c *Cluster) awaitPods(ctx context.Context, name string, count int) ([]corev1.Pod, error) {
	return c.awaitPodsIn(ctx, Namespace, name, count)
}

// awaitPodsIn waits until there are as many Pods of a name, made by the real controllers and
// admitted, and returns them sorted.
func (c *Cluster) awaitPodsIn(ctx context.Context, namespace, name string, count int) ([]corev1.Pod, error) {
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
		return nil, fmt.Errorf("waiting for %d Pods of %s, there are %d: %w; see the events of its controller", count, name, len(pods), err)
	}
	slices.SortFunc(pods, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return pods, nil
}

// runBatchgate runs a Pod of the server, and asks it from then on.
func (c *Cluster) runBatchgate(ctx context.Context, pod *corev1.Pod, machine Machine) error {
	var err error
	if c.batchgatePort, err = freePort(); err != nil {
		return err
	}
	port := pod.Spec.Containers[0].Ports[0].ContainerPort
	machine.Ports = map[int32]int{port: c.batchgatePort}
	local, err := c.NewPod(ctx, pod, machine)
	if err != nil {
		return err
	}
	if err := local.Start(ctx); err != nil {
		return err
	}
	c.Batchgate = local.Processes[0]
	return local.AwaitReady(ctx)
}
