// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"context"
	"crypto/x509"

	"github.com/batchgate/batchgate/pkg/pki"
)

// servingName is the DNS name in the serving certificate, which kube-apiserver verifies.
const servingName = Name + "." + Namespace + ".svc"

// ServingCertificate is the serving certificate of Batchgate.
type ServingCertificate struct {
	CertFile, KeyFile string
	// CA verifies the certificate, as PEM.
	CA []byte
}

func (c *Cluster) signServingCertificate(context.Context) (ServingCertificate, error) {
	s := ServingCertificate{CertFile: c.pki.path("batchgate.crt"), KeyFile: c.pki.path("batchgate.key")}
	ca, err := c.servingCA()
	if err != nil {
		return s, err
	}
	s.CA = ca.CertPEM
	return s, ca.SignFiles(s.CertFile, s.KeyFile, servingTemplate())
}

// createServingSecret creates the Secret batchgate-serving with a new serving certificate.
func (c *Cluster) createServingSecret(ctx context.Context) error {
	cert, key, err := c.newServingCertificate()
	if err != nil {
		return err
	}
	return c.createTLSSecret(ctx, "batchgate-serving", c.batchgateCA, cert, key)
}

// newServingCertificate returns a serving certificate as PEM and sets batchgateCA.
func (c *Cluster) newServingCertificate() (cert, key []byte, err error) {
	ca, err := c.servingCA()
	if err != nil {
		return nil, nil, err
	}
	c.batchgateCA = ca.CertPEM
	return ca.Sign(servingTemplate())
}

func (c *Cluster) servingCA() (*pki.Authority, error) {
	return pki.LoadOrCreate(c.pki.path("batchgate-ca.crt"), c.pki.path("batchgate-ca.key"), "batchgate-ca")
}

func servingTemplate() x509.Certificate {
	return x509.Certificate{
		DNSNames:    []string{servingName},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
}
