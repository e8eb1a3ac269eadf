// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	certutil "k8s.io/client-go/util/cert"

	"github.com/batchgate/batchgate/test/framework"
)

// secret reads a Secret in Batchgate's namespace.
func (s *scenario) secret(name string) *corev1.Secret {
	s.t.Helper()
	secret, err := s.Client.CoreV1().Secrets(framework.Namespace).Get(s.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return secret
}

// secretContents returns the contents of the plugin's Secrets by name.
func (s *scenario) secretContents() map[string]string {
	s.t.Helper()
	list, err := s.Client.CoreV1().Secrets(framework.Namespace).List(s.t.Context(), metav1.ListOptions{LabelSelector: managedByLabel + "=kubectl-batchgate"})
	if err != nil {
		s.t.Fatal(err)
	}
	contents := map[string]string{}
	for _, secret := range list.Items {
		var data bytes.Buffer
		for _, key := range []string{"tls.crt", "tls.key", "ca.crt"} {
			fmt.Fprintf(&data, "%s\n", secret.Data[key])
		}
		contents[secret.Name] = data.String()
	}
	return contents
}

// checkChanged fails the test unless exactly these of the plugin's Secrets differ from before.
func (s *scenario) checkChanged(step string, before map[string]string, want ...string) {
	s.t.Helper()
	var changed []string
	for name, content := range s.secretContents() {
		if content != before[name] {
			changed = append(changed, name)
		}
	}
	slices.Sort(changed)
	slices.Sort(want)
	if !slices.Equal(changed, want) {
		s.t.Errorf("%s: the Secrets %q changed, want %q", step, changed, want)
	}
}

// checkCertificate fails the test unless a Secret has a certificate with its key, valid for one year
// and for these names and uses, and signed by the CA of the other Secret.
func (s *scenario) checkCertificate(name, ca string, names []string, uses ...x509.ExtKeyUsage) {
	s.t.Helper()
	secret, authority := s.secret(name), s.secret(ca)
	if secret.Type != corev1.SecretTypeTLS {
		s.t.Errorf("%s: the type is %s", name, secret.Type)
	}
	pair, err := tls.X509KeyPair(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		s.t.Fatalf("%s: %v", name, err)
	}
	roots, err := certutil.NewPoolFromBytes(authority.Data[corev1.TLSCertKey])
	if err != nil {
		s.t.Fatal(err)
	}
	for _, use := range uses {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{use}}); err != nil {
			s.t.Errorf("%s, use %d: %v", name, use, err)
		}
	}
	if !slices.Equal(pair.Leaf.ExtKeyUsage, uses) {
		s.t.Errorf("%s: the uses are %v, want %v", name, pair.Leaf.ExtKeyUsage, uses)
	}
	for _, n := range names {
		if err := pair.Leaf.VerifyHostname(n); err != nil {
			s.t.Errorf("%s: %v", name, err)
		}
	}
	if days := time.Until(pair.Leaf.NotAfter).Hours() / 24; days < 364 || days > 366 {
		s.t.Errorf("%s: it is valid for %.0f days, want 365", name, days)
	}
	if !bytes.Equal(secret.Data["ca.crt"], authority.Data["ca.crt"]) {
		s.t.Errorf("%s: ca.crt differs from that in %s", name, ca)
	}
}
