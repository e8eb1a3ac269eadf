// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"

	"github.com/batchgate/batchgate/pkg/pki"
	"github.com/batchgate/batchgate/test/framework"
)

// logLoadedCertificates makes kube-apiserver log each certificate that it loads.
var logLoadedCertificates = framework.ClusterOptions{APIServerArgs: []string{"--v=2"}}

// pki returns the path of a file in the control plane's directory of certificates.
func (s *scenario) pki(name string) string { return filepath.Join(s.Dir, "pki", name) }

// write replaces a file with the concatenation of the contents.
func (s *scenario) write(file string, contents ...[]byte) {
	s.t.Helper()
	if err := pki.WriteFile(file, bytes.Join(contents, nil)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scenario) newCA(name string) *pki.Authority {
	s.t.Helper()
	ca, _, err := pki.New(name)
	if err != nil {
		s.t.Fatal(err)
	}
	return ca
}

// userConfig returns a configuration that connects directly to Batchgate as an admin, with a client
// certificate that the CA signed.
func (s *scenario) userConfig(ca *pki.Authority) *rest.Config {
	return s.clientConfig(ca, pkix.Name{CommonName: "user", Organization: []string{"system:masters"}})
}

// frontProxyConfig returns a configuration that connects directly to Batchgate as a front proxy
// that acts for an admin, with a client certificate that the CA signed.
func (s *scenario) frontProxyConfig(ca *pki.Authority) *rest.Config {
	config := s.clientConfig(ca, pkix.Name{CommonName: "front-proxy-client"})
	config.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return transport.NewAuthProxyRoundTripper("admin", "", []string{"system:masters"}, nil, next)
	})
	return config
}

func (s *scenario) clientConfig(ca *pki.Authority, name pkix.Name) *rest.Config {
	s.t.Helper()
	config := s.DirectConfig()
	config.CertFile, config.KeyFile = "", ""
	var err error
	config.CertData, config.KeyData, err = ca.Sign(x509.Certificate{Subject: name, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		s.t.Fatal(err)
	}
	return config
}

// awaitAuthenticated waits until Batchgate accepts the client's requests.
func (s *scenario) awaitAuthenticated(client string, config *rest.Config) {
	s.t.Helper()
	s.eventually("authenticate "+client, func() error { return s.listAs(config) })
}

// awaitUnauthenticated waits until Batchgate returns 401 to the client.
func (s *scenario) awaitUnauthenticated(client string, config *rest.Config) {
	s.t.Helper()
	s.eventually("return 401 to "+client, func() error {
		if err := s.listAs(config); !apierrors.IsUnauthorized(err) {
			return fmt.Errorf("the error is %w", err)
		}
		return nil
	})
}

func (s *scenario) listAs(config *rest.Config) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	_, err = client.BatchV1().Jobs(s.namespace).List(s.t.Context(), metav1.ListOptions{Limit: 1})
	return err
}

// replaceFrontProxy gives kube-apiserver another certificate for proxied requests. This makes it
// open new connections to Batchgate.
func (s *scenario) replaceFrontProxy(proxy *rest.Config) {
	s.t.Helper()
	loaded := s.countLoadedProxyCertificates()
	s.write(s.pki("front-proxy.key"), proxy.KeyData)
	s.write(s.pki("front-proxy.crt"), proxy.CertData)
	s.eventually("have kube-apiserver load its new certificate", func() error {
		if s.countLoadedProxyCertificates() == loaded {
			return errors.New("its log has no such line")
		}
		return nil
	})
}

// reconnect makes kube-apiserver open new connections to Batchgate.
func (s *scenario) reconnect() {
	s.t.Helper()
	ca, err := pki.LoadOrCreate(s.pki("front-proxy-ca.crt"), s.pki("front-proxy-ca.key"), "")
	if err != nil {
		s.t.Fatal(err)
	}
	s.replaceFrontProxy(s.frontProxyConfig(ca))
}

// countLoadedProxyCertificates counts in its log how often kube-apiserver has loaded its
// certificate for proxied requests.
func (s *scenario) countLoadedProxyCertificates() int {
	s.t.Helper()
	log, err := os.ReadFile(s.APIServer.LogFile())
	if err != nil {
		s.t.Fatal(err)
	}
	return bytes.Count(log, []byte(`"Loaded a new cert/key pair" name="aggregator-proxy-cert::`))
}
