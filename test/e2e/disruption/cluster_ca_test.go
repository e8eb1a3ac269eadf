// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"errors"
	"os"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/pki"
)

// Batchgate reads the cluster's CAs from the ConfigMap extension-apiserver-authentication, which
// kube-apiserver maintains.
func TestClusterCAsRotatedUnderLoad(t *testing.T) {
	t.Parallel()
	s := start(t, logLoadedCertificates)
	s.install()
	s.plugin(0, "takeover")
	load := s.startLoad()

	t.Run("client CA", func(t *testing.T) { s.forSubtest(t).rotateClientCA() })
	t.Run("front-proxy CA", func(t *testing.T) { s.forSubtest(t).rotateFrontProxyCA() })
	t.Run("serving CA of an admin", func(t *testing.T) { s.forSubtest(t).replaceServingCA() })

	load.finishUnaffected()
}

// rotateClientCA rotates a CA of users. The CA of the components is in the same file and stays.
func (s *scenario) rotateClientCA() {
	file := s.pki("ca.crt")
	components, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	old, next := s.newCA("users-1"), s.newCA("users-2")
	oldUser, nextUser := s.userConfig(old), s.userConfig(next)

	s.write(file, components, old.CertPEM)
	s.awaitAuthenticated("a user of the old CA", oldUser)
	s.awaitUnauthenticated("a user of the new CA", nextUser)
	s.write(file, components, old.CertPEM, next.CertPEM)
	s.awaitAuthenticated("a user of the new CA", nextUser)
	s.awaitAuthenticated("a user of the old CA", oldUser)
	s.checkService()
	s.write(file, components, next.CertPEM)
	s.awaitRemoved(old)
	s.awaitUnauthenticated("a user of the old CA", oldUser)
	s.awaitAuthenticated("a user of the new CA", nextUser)
	s.checkService()
}

// rotateFrontProxyCA rotates the CA and the certificate with which kube-apiserver proxies requests
// to Batchgate. A client with such a certificate can act as any user.
func (s *scenario) rotateFrontProxyCA() {
	file := s.pki("front-proxy-ca.crt")
	old, err := pki.LoadOrCreate(file, s.pki("front-proxy-ca.key"), "")
	if err != nil {
		s.t.Fatal(err)
	}
	next := s.newCA("front-proxy-2")
	oldProxy, nextProxy := s.frontProxyConfig(old), s.frontProxyConfig(next)

	s.awaitAuthenticated("the old front proxy", oldProxy)
	s.awaitUnauthenticated("the new front proxy", nextProxy)
	s.write(file, old.CertPEM, next.CertPEM)
	s.awaitAuthenticated("the new front proxy", nextProxy)
	s.checkService()

	s.replaceFrontProxy(nextProxy)
	s.checkService()

	s.write(file, next.CertPEM)
	s.awaitRemoved(old)
	s.awaitUnauthenticated("the old front proxy", oldProxy)
	s.awaitAuthenticated("the new front proxy", nextProxy)
	s.checkService()
}

// replaceServingCA replaces an admin's serving certificate with one that the plugin creates.
func (s *scenario) replaceServingCA() {
	s.plugin(0, "certificates").has("CA in v1.batch", "added to 1", "run this again in about two minutes")
	next := s.secret("batchgate-ca").Data[corev1.TLSCertKey]
	s.checkService()
	s.plugin(0, "certificates").has("kept, since not all replicas")
	serving := s.secret("batchgate-serving").Data
	s.write(s.pki("batchgate.key"), serving[corev1.TLSPrivateKeyKey])
	s.write(s.pki("batchgate.crt"), serving[corev1.TLSCertKey])
	s.eventually("serve the plugin's certificate", func() error { return verifyServing(s.servedCertificate(), next) })
	s.checkService()
	s.plugin(0, "certificates").has("old CA", "dropped")
	s.checkCAs("the plugin's CA", next)
	s.checkService()
}

// awaitRemoved waits until kube-apiserver no longer trusts a CA, and removes it from the ConfigMap.
// kube-apiserver adds its CAs to those in the ConfigMap and removes only expired ones. If the
// ConfigMap is deleted, kube-apiserver recreates it immediately with the CAs that it trusts.
func (s *scenario) awaitRemoved(ca *pki.Authority) {
	s.t.Helper()
	configMaps := s.Client.CoreV1().ConfigMaps(metav1.NamespaceSystem)
	s.eventually("have a ConfigMap without the old CA", func() error {
		configMap, err := configMaps.Get(s.t.Context(), "extension-apiserver-authentication", metav1.GetOptions{})
		if err != nil {
			return err
		}
		all := configMap.Data["client-ca-file"] + configMap.Data["requestheader-client-ca-file"]
		if !strings.Contains(all, string(ca.CertPEM)) {
			return nil
		}
		if err := configMaps.Delete(s.t.Context(), configMap.Name, metav1.DeleteOptions{}); err != nil {
			return err
		}
		return errors.New("the ConfigMap has the old CA")
	})
}
