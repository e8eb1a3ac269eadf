// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net/http"
	"path/filepath"
	"sync"
	"testing"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/batchgate/batchgate/pkg/pki"
)

// clientCertificate returns a client certificate for the user, signed by the CA.
func clientCertificate(ca *pki.Authority, name string, groups ...string) (*tls.Certificate, error) {
	certPEM, keyPEM, err := ca.Sign(x509.Certificate{
		Subject:     pkix.Name{CommonName: name, Organization: groups},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	return &cert, err
}

// user sends requests to one server with one identity.
type user struct {
	server *server
	http   *http.Client
}

// newUser returns a user with a certificate of the CA that the server trusts.
func (s *server) newUser(name string, groups ...string) (*user, error) {
	cert, err := clientCertificate(s.ca, name, groups...)
	if err != nil {
		return nil, fmt.Errorf("signing certificate of user %s: %w", name, err)
	}
	return s.newUserWithCertificate(cert), nil
}

// newUserWithCertificate returns a user with the certificate. If cert is nil, the user is
// anonymous.
func (s *server) newUserWithCertificate(cert *tls.Certificate) *user {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.ca.CertPEM)
	config := &tls.Config{RootCAs: roots}
	if cert != nil {
		// Like curl, send the certificate even if its CA is not among those that the server names.
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	}
	return &user{server: s, http: &http.Client{Transport: &http.Transport{
		TLSClientConfig:   config,
		ForceAttemptHTTP2: true,
	}}}
}

// newForger returns a user whose admin certificate is signed by a CA that the server does not know.
func (s *server) newForger(t *testing.T) *user {
	t.Helper()
	directory := t.TempDir()
	ca, err := pki.LoadOrCreate(filepath.Join(directory, "ca.crt"), filepath.Join(directory, "ca.key"), "unknown")
	if err != nil {
		t.Fatal(err)
	}
	cert, err := clientCertificate(ca, "admin", "system:masters")
	if err != nil {
		t.Fatal(err)
	}
	return s.newUserWithCertificate(cert)
}

// clientset returns a typed client for the user and the warnings that it receives.
func (u *user) clientset(t *testing.T) (kubernetes.Interface, *warnings) {
	t.Helper()
	received := &warnings{}
	config := &rest.Config{Host: u.server.url, QPS: -1, WarningHandler: received}
	client, err := kubernetes.NewForConfigAndClient(config, u.http)
	if err != nil {
		t.Fatalf("creating client: %v", err)
	}
	return client, received
}

// warnings collects the warnings that a client receives.
type warnings struct {
	lock  sync.Mutex
	texts []string
}

var _ rest.WarningHandler = &warnings{}

// HandleWarningHeader implements rest.WarningHandler.
func (w *warnings) HandleWarningHeader(_ int, _ string, text string) {
	w.lock.Lock()
	defer w.lock.Unlock()
	w.texts = append(w.texts, text)
}

// take returns the warnings since the last call.
func (w *warnings) take() []string {
	w.lock.Lock()
	defer w.lock.Unlock()
	texts := w.texts
	w.texts = nil
	return texts
}
