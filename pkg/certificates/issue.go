package certificates

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/batchgate/batchgate/pkg/takeover"
)

// servingTemplate is for the server, by the names under which it is found in the cluster.
// kube-apiserver verifies the first one.
func servingTemplate(service takeover.Service) x509.Certificate {
	name := service.Name + "." + service.Namespace + ".svc"
	return x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		DNSNames:    []string{name, name + ".cluster.local"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
}

// etcdMemberTemplate is for all members of Batchgate's etcd, among themselves too. Whom a
// member is called by, it looks up by DNS, which answers with the long names.
func etcdMemberTemplate(service takeover.Service) x509.Certificate {
	name := "batchgate-etcd." + service.Namespace + ".svc"
	return x509.Certificate{
		Subject:     pkix.Name{CommonName: "batchgate-etcd"},
		DNSNames:    []string{name, "*." + name, name + ".cluster.local", "*." + name + ".cluster.local", "localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

// etcdClientTemplate is for the server as a client of its etcd.
func etcdClientTemplate(service takeover.Service) x509.Certificate {
	return x509.Certificate{
		Subject:     pkix.Name{CommonName: service.Name},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
}

// renew makes a certificate, or renews it where that is due, and keeps it in a Secret with the
// CAs that verify it. It reports whether there is, or would be, a new one.
func (c *Certificates) renew(ctx context.Context, step, name string, ca *authority, template x509.Certificate) (renewed bool, err error) {
	err = c.step(step, func() (string, error) {
		data := map[string][]byte{caKey: ca.bundle()}
		cert, due := c.due(name, ca, template)
		if due != "" {
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
			return c.done(due) + ", valid" + until, nil
		case changed:
			return "valid" + until + ", its CAs " + c.done("updated"), nil
		}
		return "valid" + until, nil
	})
	return renewed, err
}

// due returns the certificate in the Secret, and what has to be done about it, with the reason:
// nothing where it is as it should be.
func (c *Certificates) due(name string, ca *authority, template x509.Certificate) (*x509.Certificate, string) {
	data := c.secrets[name].Data
	if len(data[certKey]) == 0 {
		return nil, "made"
	}
	cert, err := parse(data[certKey])
	if err != nil {
		return nil, "made anew, since it cannot be read"
	}
	if _, err := tls.X509KeyPair(data[certKey], data[keyKey]); err != nil {
		return cert, "made anew, since its key is another one's"
	}
	for _, want := range template.DNSNames {
		if !slices.Contains(cert.DNSNames, want) {
			return cert, "made anew, since it lacks the name " + want
		}
	}
	for _, want := range template.IPAddresses {
		if !slices.ContainsFunc(cert.IPAddresses, want.Equal) {
			return cert, "made anew, since it lacks the address " + want.String()
		}
	}
	if cert.Subject.CommonName != template.Subject.CommonName || !slices.Equal(cert.ExtKeyUsage, template.ExtKeyUsage) {
		return cert, "made anew, since it is for something else"
	}
	if err := cert.CheckSignatureFrom(ca.Cert); err != nil {
		return cert, "made anew by the new CA"
	}
	// A certificate does not outlive its CA: where that ends sooner, renewing would not help.
	if end := time.Now().Add(c.RenewBefore); cert.NotAfter.Before(end) && cert.NotAfter.Before(ca.Cert.NotAfter) {
		return cert, fmt.Sprintf("renewed, since the last one is valid until %s", cert.NotAfter.Format(time.DateOnly))
	}
	return cert, ""
}
