// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package certs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/plugin/cluster"
)

// servingTemplate is the template of the serving certificate. kube-apiserver verifies the first
// name.
func servingTemplate(service cluster.Service) x509.Certificate {
	name := service.Name + "." + service.Namespace + ".svc"
	return x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		DNSNames:    []string{name, name + ".cluster.local"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
}

// etcdMemberTemplate is the template of the certificate that all members of the dedicated etcd
// share, as servers and as clients of each other. A member verifies the names that a reverse
// lookup of the client's address returns, which are the long ones.
func etcdMemberTemplate(service cluster.Service) x509.Certificate {
	name := policy.EtcdName + "." + service.Namespace + ".svc"
	return x509.Certificate{
		Subject:     pkix.Name{CommonName: policy.EtcdName},
		DNSNames:    []string{name, "*." + name, name + ".cluster.local", "*." + name + ".cluster.local", "localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

// etcdClientTemplate is the template of Batchgate's client certificate for the dedicated etcd.
func etcdClientTemplate(service cluster.Service) x509.Certificate {
	return x509.Certificate{
		Subject:     pkix.Name{CommonName: service.Name},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
}

// renew creates a certificate, or renews it if that is due, and writes it to a Secret with the
// CAs that verify it. It reports whether the certificate is, or would be, a new one.
func (c *Certificates) renew(ctx context.Context, step, name string, ca *authority, template x509.Certificate) (renewed bool, err error) {
	err = c.step(ctx, step, func(ctx context.Context) (string, error) {
		data := map[string][]byte{caKey: ca.bundle()}
		cert, due := c.due(name, ca, template)
		if due != "" {
			var err error
			if data[certKey], data[keyKey], err = ca.Sign(template); err != nil {
				return "", err
			}
			if cert, err = parse(data[certKey]); err != nil {
				return "", err
			}
		}
		changed, err := c.write(ctx, name, data)
		if err != nil {
			return "", err
		}
		until := " until " + cert.NotAfter.Format(time.DateOnly)
		switch {
		case due != "":
			renewed = true
			return c.describe(due) + ", valid" + until, nil
		case changed:
			return "valid" + until + ", its CAs " + c.describe("updated"), nil
		}
		return "valid" + until, nil
	})
	return renewed, err
}

// due returns the certificate in the Secret and the action that is due, with its reason. The action
// is empty if the certificate can stay.
func (c *Certificates) due(name string, ca *authority, template x509.Certificate) (cert *x509.Certificate, due string) {
	data := c.secrets[name].Data
	if len(data[certKey]) == 0 {
		return nil, "created"
	}
	cert, err := parse(data[certKey])
	if err != nil {
		return nil, "recreated, since it is unreadable"
	}
	if _, err := tls.X509KeyPair(data[certKey], data[keyKey]); err != nil {
		return cert, "recreated, since the key does not match"
	}
	for _, want := range template.DNSNames {
		if !slices.Contains(cert.DNSNames, want) {
			return cert, "recreated, since it lacks the name " + want
		}
	}
	for _, want := range template.IPAddresses {
		if !slices.ContainsFunc(cert.IPAddresses, want.Equal) {
			return cert, "recreated, since it lacks the address " + want.String()
		}
	}
	if cert.Subject.CommonName != template.Subject.CommonName || !slices.Equal(cert.ExtKeyUsage, template.ExtKeyUsage) {
		return cert, "recreated, since it has another purpose"
	}
	if err := cert.CheckSignatureFrom(ca.Cert); err != nil {
		return cert, "recreated, since the CA is new"
	}
	// A certificate does not outlive its CA. If the CA ends sooner, renewing would not help.
	if end := time.Now().Add(c.RenewBefore); cert.NotAfter.Before(end) && cert.NotAfter.Before(ca.Cert.NotAfter) {
		return cert, fmt.Sprintf("renewed, since the last one is valid until %s", cert.NotAfter.Format(time.DateOnly))
	}
	return cert, ""
}
