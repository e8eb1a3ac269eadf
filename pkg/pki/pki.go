// Package pki is a small certificate authority, for servers that no other one serves: the
// standalone server, that of a cluster without cert-manager, and test control planes.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	certutil "k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

const (
	// validity is how long a signed certificate is valid.
	validity = 365 * 24 * time.Hour
	// backdate is by how much the clocks of others may be behind.
	backdate = 5 * time.Minute
)

// Authority is a CA that signs certificates.
type Authority struct {
	// Cert is the CA's certificate, CertPEM the same in PEM.
	Cert    *x509.Certificate
	CertPEM []byte

	key crypto.Signer
}

// LoadOrCreate returns the CA of the files, which it makes where neither exists. A CA
// whose key or certificate is lost is never replaced: kubeconfigs depend on it.
func LoadOrCreate(certFile, keyFile, commonName string) (*Authority, error) {
	_, keyErr := os.Stat(keyFile)
	_, certErr := os.Stat(certFile)
	if errors.Is(keyErr, fs.ErrNotExist) && errors.Is(certErr, fs.ErrNotExist) {
		if err := create(certFile, keyFile, commonName); err != nil {
			return nil, fmt.Errorf("making the CA: %w", err)
		}
	}
	keyPEM, err := os.ReadFile(keyFile)
	if err != nil {
		return nil, fmt.Errorf("reading the CA's key: %w; restore it, or remove %s as well to get a new CA", err, certFile)
	}
	certPEM, err := os.ReadFile(certFile)
	if err != nil {
		return nil, fmt.Errorf("reading the CA: %w; restore it, or remove %s as well to get a new CA", err, keyFile)
	}
	authority, err := Parse(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("reading %w; restore %s and %s, or remove both to get a new CA", err, certFile, keyFile)
	}
	return authority, nil
}

// Parse returns the CA whose certificate is the first of certPEM.
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

// New returns a new CA, valid for ten years, and its key in PEM.
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

// create writes a new CA.
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

// Sign returns a certificate made from the template, valid for a year, though no longer than
// the CA, and its key, in PEM. The template says who (Subject, DNSNames, IPAddresses) and what
// for (ExtKeyUsage).
func (a *Authority) Sign(template x509.Certificate) (cert, key []byte, err error) {
	signer, keyPEM, err := newKey()
	if err != nil {
		return nil, nil, err
	}
	template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, nil, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.NotBefore = time.Now().Add(-backdate)
	if template.NotAfter = time.Now().Add(validity); template.NotAfter.After(a.Cert.NotAfter) {
		template.NotAfter = a.Cert.NotAfter
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, a.Cert, signer.Public(), a.key)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: certutil.CertificateBlockType, Bytes: der}), keyPEM, nil
}

// SignFiles writes what Sign returns to files.
func (a *Authority) SignFiles(certFile, keyFile string, template x509.Certificate) error {
	cert, key, err := a.Sign(template)
	if err != nil {
		return err
	}
	if err := WriteFile(keyFile, key); err != nil {
		return err
	}
	return WriteFile(certFile, cert)
}

// WriteKubeconfig writes a kubeconfig for the user that name stands for, with a new client
// certificate, of the server at the URL.
func (a *Authority) WriteKubeconfig(path, server string, name pkix.Name) error {
	cert, key, err := a.Sign(x509.Certificate{Subject: name, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		return err
	}
	const entry = "batchgate"
	config := clientcmdapi.NewConfig()
	config.Clusters[entry] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: a.CertPEM}
	config.AuthInfos[entry] = &clientcmdapi.AuthInfo{ClientCertificateData: cert, ClientKeyData: key}
	config.Contexts[entry] = &clientcmdapi.Context{Cluster: entry, AuthInfo: entry, Namespace: "default"}
	config.CurrentContext = entry
	content, err := clientcmd.Write(*config)
	if err != nil {
		return err
	}
	return WriteFile(path, content)
}

func newKey() (crypto.Signer, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	keyPEM, err := keyutil.MarshalPrivateKeyToPEM(key)
	return key, keyPEM, err
}

// WriteFile replaces a file for its owner only, at once: a reader sees the old content or
// the new one.
func WriteFile(path string, content []byte) error {
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, content, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
