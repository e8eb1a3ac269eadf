package certificates

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	certutil "k8s.io/client-go/util/cert"

	"github.com/batchgate/batchgate/pkg/pki"
	"github.com/batchgate/batchgate/pkg/takeover"
)

// authority is the newest CA, and those before it that are still trusted.
type authority struct {
	*pki.Authority
	old []*x509.Certificate
}

// bundle returns all of them, in PEM.
func (a *authority) bundle() []byte {
	return encode(append([]*x509.Certificate{a.Cert}, a.old...))
}

// authority returns the CA in the Secret of that name, which it makes if there is none. If
// rotate is set it makes a new one beside it.
func (c *Certificates) authority(ctx context.Context, step, name string, rotate bool) (*authority, error) {
	a := &authority{}
	return a, c.step(step, func() (string, error) {
		data := c.secrets[name].Data
		if len(data[certKey]) == 0 {
			return c.makeAuthority(ctx, name, a, "made")
		}
		var err error
		if a.Authority, err = pki.Parse(data[certKey], data[keyKey]); err != nil {
			return "", fmt.Errorf("reading %w: restore Secret %s/%s; or delete it to get a new CA", err, c.Service.Namespace, name)
		}
		a.old = slices.DeleteFunc(decode(data[caKey]), a.Cert.Equal)
		switch {
		case rotate && len(a.old) > 0:
			return "", errors.New("a new CA is being introduced: run this without --rotate-ca until the old one is dropped")
		case rotate:
			a.old = []*x509.Certificate{a.Cert}
			return c.makeAuthority(ctx, name, a, "made beside the old one")
		case name == servingCASecret && time.Now().AddDate(1, 0, 0).After(a.Cert.NotAfter):
			return fmt.Sprintf("valid until %s: replace it with --rotate-ca", a.Cert.NotAfter.Format(time.DateOnly)), nil
		}
		return "valid until " + a.Cert.NotAfter.Format(time.DateOnly), nil
	})
}

func (c *Certificates) makeAuthority(ctx context.Context, name string, a *authority, what string) (string, error) {
	var key []byte
	var err error
	// The time tells it from the one before.
	if a.Authority, key, err = pki.New(fmt.Sprintf("%s@%d", name, time.Now().Unix())); err != nil {
		return "", err
	}
	if _, err := c.write(ctx, name, map[string][]byte{certKey: a.CertPEM, keyKey: key, caKey: a.bundle()}); err != nil {
		return "", err
	}
	return c.done(what) + ", valid until " + a.Cert.NotAfter.Format(time.DateOnly), nil
}

// addCA lets kube-apiserver trust the newest CA, and whom it has trusted before.
func (c *Certificates) addCA(ctx context.Context, r *takeover.Registration, ca *authority) error {
	return c.step("CA in "+r.Name, func() (string, error) {
		before := decode(r.CABundle)
		all := append([]*x509.Certificate{ca.Cert}, ca.old...)
		for _, cert := range before {
			if !slices.ContainsFunc(all, cert.Equal) {
				all = append(all, cert)
			}
		}
		if len(all) == len(before) {
			return "there", nil
		}
		if err := c.setCABundle(ctx, r, encode(all)); err != nil {
			return "", err
		}
		return c.done("added") + fmt.Sprintf(" to %d", len(before)), nil
	})
}

// otherCAs reports whether an APIService trusts another CA than the newest.
func otherCAs(registrations []takeover.Registration, ca *authority) bool {
	return slices.ContainsFunc(registrations, func(r takeover.Registration) bool {
		return slices.ContainsFunc(decode(r.CABundle), func(cert *x509.Certificate) bool { return !cert.Equal(ca.Cert) })
	})
}

// dropOldCAs takes all but the newest CA out of the APIServices and the Secrets, if all
// replicas show a certificate by the newest.
func (c *Certificates) dropOldCAs(ctx context.Context, registrations []takeover.Registration, ca *authority) error {
	replicas, err := c.CheckReplicas(ctx, ca.CertPEM)
	if err != nil {
		c.Report(takeover.Result{Name: "old CA", Detail: "kept, since not all replicas are known to have the new serving certificate: " + err.Error()})
		return nil
	}
	return c.step("old CA", func() (string, error) {
		for i := range registrations {
			if err := c.setCABundle(ctx, &registrations[i], ca.CertPEM); err != nil {
				return "", err
			}
		}
		// That of the CA last: it is what says that there is something to do yet.
		for _, name := range []string{takeover.ServingSecret, servingCASecret} {
			if _, err := c.write(ctx, name, map[string][]byte{caKey: ca.CertPEM}); err != nil {
				return "", err
			}
		}
		return c.done("dropped") + fmt.Sprintf(", %d replicas have the new serving certificate", replicas), nil
	})
}

// setCABundle changes the CA of an APIService.
func (c *Certificates) setCABundle(ctx context.Context, r *takeover.Registration, caBundle []byte) error {
	if bytes.Equal(r.CABundle, caBundle) {
		return nil
	}
	if !c.DryRun {
		after, err := c.Cluster.SetCABundle(ctx, *r, caBundle)
		if apierrors.IsConflict(err) {
			return fmt.Errorf("APIService %s: %w", r.Name, errChanged)
		}
		if err != nil {
			return err
		}
		*r, c.changed = after, true
	}
	r.CABundle = caBundle
	return nil
}

func parse(certPEM []byte) (*x509.Certificate, error) {
	certs, err := certutil.ParseCertsPEM(certPEM)
	if err != nil {
		return nil, err
	}
	return certs[0], nil
}

// decode returns the certificates of a bundle. One that cannot be read has none: it verifies
// nothing.
func decode(bundle []byte) []*x509.Certificate {
	certs, _ := certutil.ParseCertsPEM(bundle)
	return certs
}

func encode(certs []*x509.Certificate) []byte {
	bundle, _ := certutil.EncodeCertificates(certs...) // to memory
	return bundle
}
