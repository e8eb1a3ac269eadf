// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	certutil "k8s.io/client-go/util/cert"
)

// validity is how long a signed certificate is valid, unless its CA expires earlier.
const validity = 365 * 24 * time.Hour

// Sign issues a certificate for a new key, and returns both PEM-encoded. The certificate is valid
// for a year, but not longer than the CA. The template sets Subject, DNSNames, IPAddresses and
// ExtKeyUsage.
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

// SignFiles writes a certificate from Sign and its key to the files.
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

// WriteKubeconfig writes a kubeconfig for the server URL. It contains a new client certificate
// whose subject is name.
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

// WriteFile replaces a file atomically. Only its owner can read it.
func WriteFile(path string, content []byte) error {
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, content, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
