// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package authentication

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/request/headerrequest"
	x509request "k8s.io/apiserver/pkg/authentication/request/x509"
	"k8s.io/utils/lru"
)

// maxVerified is the maximum number of certificates that a verifier remembers. Each kube-apiserver
// has one.
const maxVerified = 64

// frontProxyVerifier lets requests through whose client certificate is valid and has one of the
// allowed names. It does what x509.Verifier of k8s.io/apiserver does, but remembers verified certificates.
// kube-apiserver sends many requests with the same one, and verifying it takes 5% of the CPU time of a patch.
//
// A certificate is verified again when the CA bundle changes, and once a certificate of its chain has expired.
type frontProxyVerifier struct {
	options  x509request.VerifyOptionFunc
	names    headerrequest.StringSliceProvider
	delegate authenticator.Request
	verified *lru.Cache // verifications by the fingerprint of the certificates
	now      func() time.Time
}

// verification says that certificates are valid for a pool of CAs, until they expire.
type verification struct {
	roots   *x509.CertPool
	expires time.Time
}

func newFrontProxyVerifier(options x509request.VerifyOptionFunc, names headerrequest.StringSliceProvider, delegate authenticator.Request) *frontProxyVerifier {
	return &frontProxyVerifier{options, names, delegate, lru.New(maxVerified), time.Now}
}

// AuthenticateRequest implements authenticator.Request.
func (v *frontProxyVerifier) AuthenticateRequest(r *http.Request) (*authenticator.Response, bool, error) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return nil, false, nil
	}
	options, ok := v.options()
	if !ok {
		return nil, false, nil // there is no CA yet
	}
	if err := v.verify(r.TLS.PeerCertificates, options); err != nil {
		return nil, false, err
	}
	name := r.TLS.PeerCertificates[0].Subject.CommonName
	if names := v.names.Value(); len(names) > 0 && !slices.Contains(names, name) {
		return nil, false, fmt.Errorf("the common name %q of the client certificate is not an allowed name of the front proxy", name)
	}
	return v.delegate.AuthenticateRequest(r)
}

// verify verifies the first certificate. The others are intermediate ones.
func (v *frontProxyVerifier) verify(certificates []*x509.Certificate, options x509.VerifyOptions) error {
	key, now := fingerprint(certificates), v.now()
	if known, ok := v.verified.Get(key); ok && known.(verification).isFor(options, now) {
		return nil
	}
	options.CurrentTime = now
	options.Intermediates = x509.NewCertPool()
	for _, intermediate := range certificates[1:] {
		options.Intermediates.AddCert(intermediate)
	}
	chains, err := certificates[0].Verify(options)
	if err != nil {
		return err
	}
	if len(chains) == 0 {
		return errors.New("the client certificate has no chain to a CA")
	}
	expires := chains[0][0].NotAfter
	for _, certificate := range chains[0] {
		if certificate.NotAfter.Before(expires) {
			expires = certificate.NotAfter
		}
	}
	v.verified.Add(key, verification{options.Roots, expires})
	return nil
}

// isFor compares the pools by identity. A CA content provider returns the same pool until the bundle
// changes.
func (v verification) isFor(options x509.VerifyOptions, now time.Time) bool {
	return v.roots == options.Roots && !now.After(v.expires)
}

func fingerprint(certificates []*x509.Certificate) [sha256.Size]byte {
	hash := sha256.New()
	for _, certificate := range certificates {
		hash.Write(certificate.Raw)
	}
	var sum [sha256.Size]byte
	hash.Sum(sum[:0])
	return sum
}
