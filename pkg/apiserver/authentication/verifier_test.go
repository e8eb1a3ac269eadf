// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package authentication

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/request/headerrequest"
	"k8s.io/apiserver/pkg/authentication/user"
	certutil "k8s.io/client-go/util/cert"

	"github.com/batchgate/batchgate/pkg/pki"
)

// A remembered certificate must not outlive anything that its verification depends on.
func TestFrontProxyVerifier_VerifiesAgain(t *testing.T) {
	ca, certificate := newClientCertificate(t, "proxy")
	otherCA, other := newClientCertificate(t, "proxy")
	now := time.Now()
	type state struct {
		roots        *x509.CertPool // nil: there is no CA
		now          time.Time
		names        headerrequest.StaticStringSlice
		certificates []*x509.Certificate
	}
	roots, otherRoots := poolOf(t, ca.CertPEM), poolOf(t, otherCA.CertPEM)
	trusted := state{roots, now, headerrequest.StaticStringSlice{"proxy"}, []*x509.Certificate{certificate}}
	for name, tc := range map[string]struct {
		change func(*state)
		want   bool
	}{
		"nothing changes":             {func(*state) {}, true},
		"another CA":                  {func(s *state) { s.roots = otherRoots }, false},
		"a new bundle with the CA":    {func(s *state) { s.roots = poolOf(t, ca.CertPEM) }, true},
		"no CA":                       {func(s *state) { s.roots = nil }, false},
		"the certificate has expired": {func(s *state) { s.now = certificate.NotAfter.Add(time.Second) }, false},
		"another name is allowed":     {func(s *state) { s.names = headerrequest.StaticStringSlice{"other"} }, false},
		"all names are allowed":       {func(s *state) { s.names = nil }, true},
		"another certificate":         {func(s *state) { s.certificates = []*x509.Certificate{other} }, false},
		"as an intermediate one":      {func(s *state) { s.certificates = []*x509.Certificate{other, certificate} }, false},
		"with an intermediate one":    {func(s *state) { s.certificates = []*x509.Certificate{certificate, other} }, true},
		"no certificate":              {func(s *state) { s.certificates = nil }, false},
		"a certificate for servers":   {func(s *state) { s.certificates = []*x509.Certificate{serverCertificate(t, ca)} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			current := trusted
			v := newFrontProxyVerifier(
				func() (x509.VerifyOptions, bool) {
					return x509.VerifyOptions{Roots: current.roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}, current.roots != nil
				},
				headerrequest.StringSliceProviderFunc(func() []string { return current.names }),
				authenticator.RequestFunc(func(*http.Request) (*authenticator.Response, bool, error) {
					return &authenticator.Response{User: &user.DefaultInfo{Name: "alice"}}, true, nil
				}))
			v.now = func() time.Time { return current.now }
			authenticate := func() bool {
				r := httptest.NewRequest(http.MethodGet, "https://batchgate/", nil)
				r.TLS = &tls.ConnectionState{PeerCertificates: current.certificates}
				_, ok, _ := v.AuthenticateRequest(r)
				return ok
			}
			if !authenticate() {
				t.Fatal("the front proxy's certificate is not accepted")
			}
			tc.change(&current)
			for range 2 {
				if got := authenticate(); got != tc.want {
					t.Errorf("accepted: got %t, want %t", got, tc.want)
				}
			}
			current = trusted
			if !authenticate() {
				t.Error("the front proxy's certificate is not accepted any more")
			}
		})
	}
}

// A remembered certificate is not verified, which shows if it could not be.
func TestFrontProxyVerifier_RemembersOnlyVerified(t *testing.T) {
	ca, certificate := newClientCertificate(t, "proxy")
	_, untrusted := newClientCertificate(t, "proxy")
	options := x509.VerifyOptions{Roots: poolOf(t, ca.CertPEM), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	v := newFrontProxyVerifier(nil, nil, nil)
	for range 3 {
		if err := v.verify([]*x509.Certificate{certificate}, options); err != nil {
			t.Fatal(err)
		}
		if err := v.verify([]*x509.Certificate{untrusted}, options); err == nil {
			t.Fatal("an untrusted certificate is accepted")
		}
	}
	if n := v.verified.Len(); n != 1 {
		t.Errorf("%d certificates are remembered, want 1", n)
	}
	v.verified.Add(fingerprint([]*x509.Certificate{untrusted}), verification{options.Roots, time.Now().Add(time.Hour)})
	if err := v.verify([]*x509.Certificate{untrusted}, options); err != nil {
		t.Errorf("a remembered certificate is verified again: %v", err)
	}
}

// An intermediate CA may expire before the certificate that it has signed.
func TestFrontProxyVerifier_ExpiresWithTheChain(t *testing.T) {
	now := time.Now()
	sign := func(name string, expires time.Time, isCA bool, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		t.Helper()
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: expires,
			IsCA: isCA, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		}
		if parent == nil {
			parent, parentKey = template, key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
		if err != nil {
			t.Fatal(err)
		}
		certificate, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return certificate, key
	}
	for name, expires := range map[string][3]time.Duration{ // of root, intermediate and leaf
		"root":         {time.Hour, 2 * time.Hour, 2 * time.Hour},
		"intermediate": {2 * time.Hour, time.Hour, 2 * time.Hour},
		"leaf":         {2 * time.Hour, 2 * time.Hour, time.Hour},
	} {
		root, rootKey := sign("root", now.Add(expires[0]), true, nil, nil)
		intermediate, intermediateKey := sign("intermediate", now.Add(expires[1]), true, root, rootKey)
		leaf, _ := sign("proxy", now.Add(expires[2]), false, intermediate, intermediateKey)
		roots := x509.NewCertPool()
		roots.AddCert(root)
		options := x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
		v := newFrontProxyVerifier(nil, nil, nil)
		at := now
		v.now = func() time.Time { return at }
		verify := func() error { return v.verify([]*x509.Certificate{leaf, intermediate}, options) }
		for _, at = range []time.Time{now, now.Add(59 * time.Minute)} {
			if err := verify(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if at = now.Add(61 * time.Minute); verify() == nil {
			t.Errorf("the chain is accepted after the %s has expired", name)
		}
	}
}

// serverCertificate returns a certificate that the CA signed for a server.
func serverCertificate(t *testing.T, ca *pki.Authority) *x509.Certificate {
	t.Helper()
	certPEM, _, err := ca.Sign(x509.Certificate{Subject: pkix.Name{CommonName: "proxy"}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	if err != nil {
		t.Fatal(err)
	}
	certs, err := certutil.ParseCertsPEM(certPEM)
	if err != nil {
		t.Fatal(err)
	}
	return certs[0]
}

func poolOf(t *testing.T, certPEM []byte) *x509.CertPool {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(certPEM) {
		t.Fatal("no certificate")
	}
	return pool
}
