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

// certificate makes the directory for the certificate of the program's webhooks, puts one into it
// as cert-manager's would be, unless the program makes it itself, and returns its CA.
func (p *program) certificate() ([]byte, error) {
	directory := p.file("certs")
	if err := os.Mkdir(directory, 0o700); err != nil || p.certifies {
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

// mountSecret plays the kubelet, for the Secret that the program has made.
func (p *program) mountSecret(t *testing.T) {
	t.Helper()
	eventually(t, "have a certificate", func() error {
		secret, err := cluster.Client.CoreV1().Secrets(p.namespace()).Get(t.Context(), p.name+"-webhook-server-cert", metav1.GetOptions{})
		if err != nil {
			return err
		}
		if len(secret.Data["tls.crt"]) == 0 {
			return errors.New("the Secret is empty")
		}
		// It waits for the certificate, and reads the key then.
		for _, name := range []string{"tls.key", "tls.crt"} {
			if err := pki.WriteFile(filepath.Join(p.file("certs"), name), secret.Data[name]); err != nil {
				return err
			}
		}
		return nil
	})
}
