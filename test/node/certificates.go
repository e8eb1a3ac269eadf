// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"os"
	"path/filepath"
	"slices"

	"github.com/batchgate/batchgate/pkg/pki"
)

const (
	// controlPlaneIP is the address of etcd and the first kube-apiserver, on the first node.
	controlPlaneIP = "10.99.0.1"
	// secondAPIServerIP is the address of the second kube-apiserver.
	secondAPIServerIP = "10.99.0.2"
	// apiServerURL is the URL of the first kube-apiserver.
	apiServerURL = "https://" + controlPlaneIP + ":6443"
	// EtcdURL is the URL of the etcd of the cluster. Its clients need a certificate.
	EtcdURL = "https://" + controlPlaneIP + ":2379"
	// BatchEtcdURL is the URL of the etcd for Jobs, see Options. Its clients need a certificate.
	BatchEtcdURL = "https://" + controlPlaneIP + ":2479"
)

// certificates has the files that kubeadm keeps in /etc/kubernetes/pki, and kubeconfigs.
type certificates struct {
	dir          string
	ca, etcdCA   *pki.Authority
	frontProxyCA *pki.Authority
	// batchEtcdCA signs certificates for clients of the etcd for Jobs. No other etcd trusts it.
	batchEtcdCA *pki.Authority
}

// newCertificates writes certificates to dir/pki and the admin's kubeconfig to dir.
func newCertificates(dir string) (*certificates, error) {
	c := &certificates{dir: filepath.Join(dir, "pki")}
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return nil, err
	}
	for name, ca := range map[string]**pki.Authority{"ca": &c.ca, "etcd-ca": &c.etcdCA, "front-proxy-ca": &c.frontProxyCA, "batch-etcd-ca": &c.batchEtcdCA} {
		var err error
		if *ca, err = pki.LoadOrCreate(c.path(name+".crt"), c.path(name+".key"), name); err != nil {
			return nil, err
		}
	}
	if err := pki.WriteFile(c.path("batch-etcd-trusted.crt"), slices.Concat(c.etcdCA.CertPEM, c.batchEtcdCA.CertPEM)); err != nil {
		return nil, err
	}
	server := []net.IP{net.ParseIP(controlPlaneIP), net.ParseIP(secondAPIServerIP), net.ParseIP("10.96.0.1"), net.IPv4(127, 0, 0, 1)}
	for _, cert := range []struct {
		file     string
		ca       *pki.Authority
		template x509.Certificate
	}{
		{"apiserver", c.ca, x509.Certificate{
			Subject: pkix.Name{CommonName: "kube-apiserver"}, IPAddresses: server,
			DNSNames:    []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"},
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		}},
		{"etcd", c.etcdCA, x509.Certificate{
			Subject: pkix.Name{CommonName: "etcd"}, IPAddresses: server, DNSNames: []string{"localhost"},
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		}},
		{"apiserver-etcd-client", c.etcdCA, client("kube-apiserver-etcd-client")},
		{"apiserver-kubelet-client", c.ca, client("kube-apiserver-kubelet-client", "system:masters")},
		{"front-proxy-client", c.frontProxyCA, client("front-proxy-client")},
	} {
		if err := cert.ca.SignFiles(c.path(cert.file+".crt"), c.path(cert.file+".key"), cert.template); err != nil {
			return nil, err
		}
	}
	for file, name := range map[string]pkix.Name{
		filepath.Join(dir, "admin.kubeconfig"):  {CommonName: "admin", Organization: []string{"system:masters"}},
		c.path("controller-manager.kubeconfig"): {CommonName: "system:kube-controller-manager"},
		c.path("scheduler.kubeconfig"):          {CommonName: "system:kube-scheduler"},
		c.path("proxy.kubeconfig"):              {CommonName: "system:kube-proxy"},
	} {
		if err := c.ca.WriteKubeconfig(file, apiServerURL, name); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func client(commonName string, groups ...string) x509.Certificate {
	return x509.Certificate{Subject: pkix.Name{CommonName: commonName, Organization: groups}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
}

// writeNode writes the kubelet's certificate and kubeconfig.
func (c *certificates) writeNode(n *Node) error {
	err := c.ca.SignFiles(c.path(n.Name+".crt"), c.path(n.Name+".key"), x509.Certificate{
		Subject: pkix.Name{CommonName: n.Name}, IPAddresses: []net.IP{net.ParseIP(n.IP)}, DNSNames: []string{n.Name},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		return err
	}
	return c.ca.WriteKubeconfig(c.path(n.Name+".kubeconfig"), apiServerURL, pkix.Name{CommonName: "system:node:" + n.Name, Organization: []string{"system:nodes"}})
}

func (c *certificates) path(name string) string { return filepath.Join(c.dir, name) }

// EtcdCA returns the CA of the cluster's etcd.
func (c *Cluster) EtcdCA() *pki.Authority { return c.pki.etcdCA }

// BatchEtcdCA returns the CA of clients of the etcd for Jobs. EtcdCA has signed its serving certificate.
func (c *Cluster) BatchEtcdCA() *pki.Authority { return c.pki.batchEtcdCA }

// EtcdCAFile returns the file with the certificate of that CA. Its key is in a file beside it.
func (c *Cluster) EtcdCAFile() string { return c.pki.path("etcd-ca.crt") }

// WriteKubeconfig writes a kubeconfig for a user with a client certificate.
func (c *Cluster) WriteKubeconfig(file, user string, groups ...string) error {
	return c.pki.ca.WriteKubeconfig(file, apiServerURL, pkix.Name{CommonName: user, Organization: groups})
}
