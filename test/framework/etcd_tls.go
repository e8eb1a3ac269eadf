// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"

	"github.com/batchgate/batchgate/pkg/pki"
)

// EtcdTLSURL returns the URL for clients with a certificate; see ClusterOptions.EtcdTLS.
func (c *Cluster) EtcdTLSURL() string { return "https://" + loopback(c.ports.etcdTLS) }

// etcdTLSArgs returns the arguments of the first etcd member for ClusterOptions.EtcdTLS.
func (c *Cluster) etcdTLSArgs() ([]string, error) {
	if !c.options.EtcdTLS {
		return nil, nil
	}
	ca, err := c.etcdCA()
	if err != nil {
		return nil, err
	}
	if err := ca.SignFiles(c.pki.path("etcd.crt"), c.pki.path("etcd.key"), etcdServerTemplate()); err != nil {
		return nil, err
	}
	return []string{
		"--listen-client-urls=" + c.EtcdURL() + "," + c.EtcdTLSURL(),
		"--client-cert-auth",
		"--trusted-ca-file=" + c.pki.path("etcd-ca.crt"),
		"--cert-file=" + c.pki.path("etcd.crt"),
		"--key-file=" + c.pki.path("etcd.key"),
	}, nil
}

// CreateEtcdClientSecret creates the Secret batchgate-etcd-client with a certificate for EtcdTLSURL.
func (c *Cluster) CreateEtcdClientSecret(ctx context.Context) error {
	ca, err := c.etcdCA()
	if err != nil {
		return err
	}
	cert, key, err := ca.Sign(etcdClientTemplate(Name))
	if err != nil {
		return err
	}
	return c.createTLSSecret(ctx, "batchgate-etcd-client", ca.CertPEM, cert, key)
}

func (c *Cluster) etcdCA() (*pki.Authority, error) {
	return pki.LoadOrCreate(c.pki.path("etcd-ca.crt"), c.pki.path("etcd-ca.key"), "etcd-ca")
}

// etcdServerTemplate is the certificate template of an etcd member with these DNS names.
func etcdServerTemplate(names ...string) x509.Certificate {
	return x509.Certificate{
		Subject:     pkix.Name{CommonName: "etcd"},
		DNSNames:    append(names, "localhost"),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

// etcdClientTemplate is the certificate template of an etcd client.
func etcdClientTemplate(commonName string) x509.Certificate {
	return x509.Certificate{Subject: pkix.Name{CommonName: commonName}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
}
