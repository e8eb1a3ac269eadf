// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	certutil "k8s.io/client-go/util/cert"
)

func TestAuthority_Sign_WrongKey(t *testing.T) {
	certFile, keyFile := newPaths(t)
	mustLoadOrCreate(t, certFile, keyFile)
	otherCert, otherKey := newPaths(t)
	mustLoadOrCreate(t, otherCert, otherKey)

	ca, err := LoadOrCreate(certFile, otherKey, "test-ca")
	if err != nil {
		return // LoadOrCreate may detect it, too.
	}
	if _, _, err := ca.Sign(x509.Certificate{}); err == nil {
		t.Error("Sign returned a certificate that cannot be verified")
	}
}

func TestAuthority_SignFiles(t *testing.T) {
	certFile, keyFile := newPaths(t)
	ca := mustLoadOrCreate(t, certFile, keyFile)
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "serving.crt"), filepath.Join(dir, "serving.key")
	template := x509.Certificate{
		Subject:     pkix.Name{CommonName: "server"},
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(192, 0, 2, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if err := ca.SignFiles(cert, key, template); err != nil {
		t.Fatal(err)
	}
	checkMode(t, cert, 0o600)
	checkMode(t, key, 0o600)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.CertPEM)
	for _, name := range []string{"localhost", "192.0.2.1"} {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); err != nil {
			t.Errorf("verifying the name %s: %v", name, err)
		}
	}
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "other"}); err == nil {
		t.Error("the certificate is valid for a different name")
	}
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err == nil {
		t.Error("the serving certificate is valid for a client")
	}
	if days := time.Until(pair.Leaf.NotAfter).Hours() / 24; days < 364 || days > 366 {
		t.Errorf("the certificate is valid for %.0f days, want a year", days)
	}
}

func TestAuthority_WriteKubeconfig(t *testing.T) {
	certFile, keyFile := newPaths(t)
	ca := mustLoadOrCreate(t, certFile, keyFile)
	path := filepath.Join(t.TempDir(), "kubeconfig")
	name := pkix.Name{CommonName: "alice", Organization: []string{"staff"}}
	if err := ca.WriteKubeconfig(path, "https://192.0.2.1:8443", name); err != nil {
		t.Fatal(err)
	}
	checkMode(t, path, 0o600)
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	if config.Host != "https://192.0.2.1:8443" || !bytes.Equal(config.CAData, ca.CertPEM) || config.Insecure {
		t.Errorf("got server %q, insecure=%t, CA\n%s", config.Host, config.Insecure, config.CAData)
	}
	pair, err := tls.X509KeyPair(config.CertData, config.KeyData)
	if err != nil {
		t.Fatal(err)
	}
	if subject := pair.Leaf.Subject; subject.CommonName != "alice" || len(subject.Organization) != 1 || subject.Organization[0] != "staff" {
		t.Errorf("got subject %s, want alice in group staff", subject)
	}
}

func TestWriteFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("old, and longer"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(file, []byte("new")); err != nil {
		t.Fatal(err)
	}
	if content := read(t, file); string(content) != "new" {
		t.Errorf("got content %q, want new", content)
	}
	checkMode(t, file, 0o600)
	if entries, err := os.ReadDir(filepath.Dir(file)); err != nil || len(entries) != 1 {
		t.Errorf("the directory contains %v, %v, want one file", entries, err)
	}
}

func TestAuthority_Sign_NotAfterCA(t *testing.T) {
	ca, _, err := New("ca")
	if err != nil {
		t.Fatal(err)
	}
	ca.Cert.NotAfter = time.Now().Add(time.Hour).Truncate(time.Second)
	certPEM, _, err := ca.Sign(x509.Certificate{})
	if err != nil {
		t.Fatal(err)
	}
	certs, err := certutil.ParseCertsPEM(certPEM)
	if err != nil {
		t.Fatal(err)
	}
	if !certs[0].NotAfter.Equal(ca.Cert.NotAfter) {
		t.Errorf("the certificate expires at %s, want the CA's expiration %s", certs[0].NotAfter, ca.Cert.NotAfter)
	}
}
