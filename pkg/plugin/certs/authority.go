// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package certs

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

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/pki"
	"github.com/batchgate/batchgate/pkg/plugin/cluster"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
)

// authority is the newest CA and its predecessors that are still trusted.
type authority struct {
	*pki.Authority
	old []*x509.Certificate
}

// bundle returns all certificates in PEM, the newest first.
func (a *authority) bundle() []byte {
	return encode(append([]*x509.Certificate{a.Cert}, a.old...))
}

// authority returns the CA in the named Secret, and creates one if there is none. If rotate is set,
// it creates a successor.
func (c *Certificates) authority(ctx context.Context, step, name string, rotate bool) (*authority, error) {
	a := &authority{}
	return a, c.step(ctx, step, func(ctx context.Context) (string, error) {
		data := c.secrets[name].Data
		if len(data[certKey]) == 0 {
			return c.createAuthority(ctx, name, a, "created")
		}
		var err error
		if a.Authority, err = pki.Parse(data[certKey], data[keyKey]); err != nil {
			return "", fmt.Errorf("reading %w: restore Secret %s/%s, or delete it to get a new CA", err, c.Service.Namespace, name)
		}
		a.old = slices.DeleteFunc(decode(data[caKey]), a.Cert.Equal)
		switch {
		case rotate && len(a.old) > 0:
			return "", errors.New("the last rotation is not finished: run this without --rotate-ca until the old CA is dropped")
		case rotate:
			a.old = []*x509.Certificate{a.Cert}
			return c.createAuthority(ctx, name, a, "created next to the old one")
		case name == policy.ServingCASecret && time.Now().AddDate(1, 0, 0).After(a.Cert.NotAfter):
			return fmt.Sprintf("valid until %s: replace it with --rotate-ca", a.Cert.NotAfter.Format(time.DateOnly)), nil
		}
		return "valid until " + a.Cert.NotAfter.Format(time.DateOnly), nil
	})
}

func (c *Certificates) createAuthority(ctx context.Context, name string, a *authority, done string) (string, error) {
	var key []byte
	var err error
	// The time makes the name differ from the predecessor's.
	if a.Authority, key, err = pki.New(fmt.Sprintf("%s@%d", name, time.Now().Unix())); err != nil {
		return "", err
	}
	if _, err := c.write(ctx, name, map[string][]byte{certKey: a.CertPEM, keyKey: key, caKey: a.bundle()}); err != nil {
		return "", err
	}
	return c.describe(done) + ", valid until " + a.Cert.NotAfter.Format(time.DateOnly), nil
}

// addCA adds the CAs to the CA bundle of an APIService. It removes none from the bundle.
func (c *Certificates) addCA(ctx context.Context, r **cluster.APIService, ca *authority) error {
	return c.step(ctx, "CA in "+(*r).Name, func(ctx context.Context) (string, error) {
		before := decode((*r).CABundle)
		all := append([]*x509.Certificate{ca.Cert}, ca.old...)
		for _, cert := range before {
			if !slices.ContainsFunc(all, cert.Equal) {
				all = append(all, cert)
			}
		}
		if len(all) == len(before) {
			return "included", nil
		}
		if err := c.setCABundle(ctx, r, encode(all)); err != nil {
			return "", err
		}
		if len(before) == 0 {
			return c.describe("added"), nil
		}
		return c.describe("added") + fmt.Sprintf(" to %d", len(before)), nil
	})
}

// trustsOtherCA reports whether an APIService trusts a CA other than the newest.
func trustsOtherCA(registrations []*cluster.APIService, ca *authority) bool {
	return slices.ContainsFunc(registrations, func(r *cluster.APIService) bool {
		return slices.ContainsFunc(decode(r.CABundle), func(cert *x509.Certificate) bool { return !cert.Equal(ca.Cert) })
	})
}

// dropOldCAs removes all CAs but the newest from the APIServices and the Secrets, if all replicas
// serve a certificate that the newest CA signed.
func (c *Certificates) dropOldCAs(ctx context.Context, registrations []*cluster.APIService, ca *authority) error {
	replicas, err := c.CheckReplicas(ctx, ca.CertPEM)
	if err != nil {
		c.Report(steps.Result{Name: "old CA", Detail: "kept, since not all replicas are known to have the new serving certificate: " + err.Error()})
		return nil
	}
	return c.step(ctx, "old CA", func(ctx context.Context) (string, error) {
		for i := range registrations {
			if err := c.setCABundle(ctx, &registrations[i], ca.CertPEM); err != nil {
				return "", err
			}
		}
		// The CA's Secret comes last. As long as it lists the old CA, a later run tries again.
		for _, name := range []string{policy.ServingSecret, policy.ServingCASecret} {
			if _, err := c.write(ctx, name, map[string][]byte{caKey: ca.CertPEM}); err != nil {
				return "", err
			}
		}
		return c.describe("dropped") + fmt.Sprintf(", %d replicas have the new serving certificate", replicas), nil
	})
}

// setCABundle changes the CA bundle of an APIService and sets *r to the result.
func (c *Certificates) setCABundle(ctx context.Context, r **cluster.APIService, caBundle []byte) error {
	if bytes.Equal((*r).CABundle, caBundle) {
		return nil
	}
	if c.DryRun {
		(*r).CABundle = caBundle
		return nil
	}
	after, err := c.Cluster.SetCABundle(ctx, *r, caBundle)
	c.changed = c.changed || !cluster.Rejected(err)
	if apierrors.IsConflict(err) {
		return fmt.Errorf("APIService %s: %w", (*r).Name, errChanged)
	}
	if err != nil {
		return err
	}
	*r = after
	return nil
}

func parse(certPEM []byte) (*x509.Certificate, error) {
	certs, err := certutil.ParseCertsPEM(certPEM)
	if err != nil {
		return nil, err
	}
	return certs[0], nil
}

// decode returns the certificates of a bundle. An unreadable bundle counts as empty, since it
// verifies nothing.
func decode(bundle []byte) []*x509.Certificate {
	certs, _ := certutil.ParseCertsPEM(bundle)
	return certs
}

func encode(certs []*x509.Certificate) []byte {
	bundle, _ := certutil.EncodeCertificates(certs...) // writing to memory cannot fail
	return bundle
}
