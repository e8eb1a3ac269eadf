// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	certutil "k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

// backdate is how far NotBefore lies in the past, for machines whose clocks are behind.
const backdate = 5 * time.Minute

// Authority is a CA that signs certificates.
type Authority struct {
	// Cert is the CA's certificate. CertPEM is its PEM encoding.
	Cert    *x509.Certificate
	CertPEM []byte

	key crypto.Signer
}

// LoadOrCreate returns the CA in the files, and creates it if neither file exists. If only one
// file is missing, it returns an error: a new CA would invalidate all kubeconfigs.
func LoadOrCreate(certFile, keyFile, commonName string) (*Authority, error) {
	_, keyErr := os.Stat(keyFile)
	_, certErr := os.Stat(certFile)
	if errors.Is(keyErr, fs.ErrNotExist) && errors.Is(certErr, fs.ErrNotExist) {
		if err := create(certFile, keyFile, commonName); err != nil {
			return nil, fmt.Errorf("creating the CA: %w", err)
		}
	}
	keyPEM, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, fmt.Errorf("reading the CA's key: %w; restore it, or also remove %s to get a new CA", err, certFile)
	}
	certPEM, err := os.ReadFile(certFile)
	if err != nil {
		return nil, fmt.Errorf("reading the CA: %w; restore it, or also remove %s to get a new CA", err, keyFile)
	}
	authority, err := Parse(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("reading %w; restore %s and %s, or remove both to get a new CA", err, certFile, keyFile)
	}
	return authority, nil
}

// Parse returns the CA whose certificate is the first one in certPEM. Its errors start with the
// part that is invalid, so that callers can wrap them in "reading %w".
func Parse(certPEM, keyPEM []byte) (*Authority, error) {
	key, err := keyutil.ParsePrivateKeyPEM(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("the CA's key: %w", err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, errors.New("the CA's key cannot sign")
	}
	certs, err := certutil.ParseCertsPEM(certPEM)
	if err != nil {
		return nil, fmt.Errorf("the CA's certificate: %w", err)
	}
	return newAuthority(certs[0], signer)
}

// New returns a new CA, which is valid for ten years, and its PEM-encoded key.
func New(commonName string) (*Authority, []byte, error) {
	key, keyPEM, err := newKey()
	if err != nil {
		return nil, nil, err
	}
	config := certutil.Config{CommonName: commonName, NotBefore: time.Now().Add(-backdate)}
	cert, err := certutil.NewSelfSignedCACert(config, key)
	if err != nil {
		return nil, nil, err
	}
	authority, err := newAuthority(cert, key)
	return authority, keyPEM, err
}

func newAuthority(cert *x509.Certificate, key crypto.Signer) (*Authority, error) {
	certPEM, err := certutil.EncodeCertificates(cert)
	if err != nil {
		return nil, err
	}
	return &Authority{CertPEM: certPEM, Cert: cert, key: key}, nil
}

// create writes a new CA to the files.
func create(certFile, keyFile, commonName string) error {
	authority, keyPEM, err := New(commonName)
	if err != nil {
		return err
	}
	if err := WriteFile(keyFile, keyPEM); err != nil {
		return err
	}
	return WriteFile(certFile, authority.CertPEM)
}

func newKey() (crypto.Signer, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	keyPEM, err := keyutil.MarshalPrivateKeyToPEM(key)
	return key, keyPEM, err
}
