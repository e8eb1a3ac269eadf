package standalone

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"time"

	certutil "k8s.io/client-go/util/cert"
	"k8s.io/client-go/util/keyutil"
)

// validity is how long a signed certificate is valid.
const validity = 365 * 24 * time.Hour

// authority is a CA that signs certificates.
type authority struct {
	cert    *x509.Certificate
	certPEM []byte
	key     crypto.Signer
}

// loadOrCreateCA returns the CA of the files, which it makes where neither exists. A CA
// whose key or certificate is lost is never replaced: kubeconfigs depend on it.
func loadOrCreateCA(certFile, keyFile string) (*authority, error) {
	_, keyErr := os.Stat(keyFile)
	_, certErr := os.Stat(certFile)
	if errors.Is(keyErr, fs.ErrNotExist) && errors.Is(certErr, fs.ErrNotExist) {
		if err := createCA(certFile, keyFile); err != nil {
			return nil, fmt.Errorf("making the CA: %w", err)
		}
	}
	key, err := keyutil.PrivateKeyFromFile(keyFile)
	if err != nil {
		return nil, fmt.Errorf("reading the CA's key: %w; restore it, or remove %s as well to get a new CA", err, certFile)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("the key in %s cannot sign", keyFile)
	}
	certs, err := certutil.CertsFromFile(certFile)
	if err != nil {
		return nil, fmt.Errorf("reading the CA: %w; restore it, or remove %s as well to get a new CA", err, keyFile)
	}
	certPEM, err := certutil.EncodeCertificates(certs[0])
	if err != nil {
		return nil, err
	}
	return &authority{cert: certs[0], certPEM: certPEM, key: signer}, nil
}

// createCA writes a new CA, valid for ten years.
func createCA(certFile, keyFile string) error {
	key, keyPEM, err := newKey()
	if err != nil {
		return err
	}
	cert, err := certutil.NewSelfSignedCACert(certutil.Config{CommonName: "batchgate-ca"}, key)
	if err != nil {
		return err
	}
	certPEM, err := certutil.EncodeCertificates(cert)
	if err != nil {
		return err
	}
	if err := writeFile(keyFile, keyPEM); err != nil {
		return err
	}
	return writeFile(certFile, certPEM)
}

// sign returns a certificate made from the template, and its key, in PEM.
func (a *authority) sign(template x509.Certificate) (cert, key []byte, err error) {
	signer, keyPEM, err := newKey()
	if err != nil {
		return nil, nil, err
	}
	template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, nil, err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.NotBefore = a.cert.NotBefore
	template.NotAfter = time.Now().Add(validity)
	der, err := x509.CreateCertificate(rand.Reader, &template, a.cert, signer.Public(), a.key)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: certutil.CertificateBlockType, Bytes: der}), keyPEM, nil
}

func newKey() (crypto.Signer, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	keyPEM, err := keyutil.MarshalPrivateKeyToPEM(key)
	return key, keyPEM, err
}
