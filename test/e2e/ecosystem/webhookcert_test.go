// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package ecosystem

import (
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/pki"
)

// createWebhookCert creates the directory for the serving certificate of the webhooks. It returns the CA of
// a certificate like cert-manager's, or nil if the program creates its certificate itself.
func (p *program) createWebhookCert() ([]byte, error) {
	directory := p.file("certs")
	if err := os.Mkdir(directory, 0o700); err != nil || p.managesCerts {
		return nil, err
	}
	ca, _, err := pki.New(p.name + "-ca")
	if err != nil {
		return nil, err
	}
	return ca.CertPEM, ca.SignFiles(filepath.Join(directory, "tls.crt"), filepath.Join(directory, "tls.key"), x509.Certificate{
		DNSNames:    []string{p.name + "-webhook-service." + p.namespace() + ".svc"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
}

// mountWebhookSecret does the kubelet's work: it writes the Secret that the program created to files.
func (p *program) mountWebhookSecret(t *testing.T) {
	t.Helper()
	eventually(t, "have a certificate", func() error {
		secret, err := cluster.Client.CoreV1().Secrets(p.namespace()).Get(t.Context(), p.name+"-webhook-server-cert", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if len(secret.Data["tls.crt"]) == 0 {
			return errors.New("the Secret has no certificate yet")
		}
		// The key comes first, because the program reads both as soon as the certificate exists.
		for _, name := range []string{"tls.key", "tls.crt"} {
			if err := pki.WriteFile(filepath.Join(p.file("certs"), name), secret.Data[name]); err != nil {
				return err
			}
		}
		return nil
	})
}
