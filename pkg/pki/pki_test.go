package pki

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	certutil "k8s.io/client-go/util/cert"
)

// files are the certificate and the key of a CA in a directory of its own.
func files(t *testing.T) (certFile, keyFile string) {
	dir := t.TempDir()
	return filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key")
}

func mustLoadOrCreate(t *testing.T, certFile, keyFile string) *Authority {
	t.Helper()
	ca, err := LoadOrCreate(certFile, keyFile, "test-ca")
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func checkMode(t *testing.T, file string, want os.FileMode) {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if mode := info.Mode().Perm(); mode != want {
		t.Errorf("%s has the mode %o, want %o", filepath.Base(file), mode, want)
	}
}

func TestAuthorityIsMadeOnceAndKept(t *testing.T) {
	certFile, keyFile := files(t)
	first := mustLoadOrCreate(t, certFile, keyFile)
	cert, key := read(t, certFile), read(t, keyFile)
	second := mustLoadOrCreate(t, certFile, keyFile)

	if !bytes.Equal(cert, read(t, certFile)) || !bytes.Equal(key, read(t, keyFile)) {
		t.Error("the second call changed the files")
	}
	if !bytes.Equal(first.CertPEM, second.CertPEM) || !bytes.Equal(first.CertPEM, cert) {
		t.Error("the certificate is not that of the file")
	}
	checkMode(t, certFile, 0o600)
	checkMode(t, keyFile, 0o600)
	parsed, err := certutil.ParseCertsPEM(cert)
	if err != nil {
		t.Fatal(err)
	}
	if ca := parsed[0]; !ca.IsCA || ca.Subject.CommonName != "test-ca" || ca.NotAfter.Before(time.Now().AddDate(9, 0, 0)) {
		t.Errorf("CA=%t, name %q, valid until %s", ca.IsCA, ca.Subject.CommonName, ca.NotAfter)
	}
}

func TestAuthorityThatIsDamagedIsNotReplaced(t *testing.T) {
	remove := func(t *testing.T, file string) {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	write := func(t *testing.T, file, content string) {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, tc := range map[string]struct {
		damage func(t *testing.T, certFile, keyFile string)
		want   []string
	}{
		"lost key": {
			damage: func(t *testing.T, _, keyFile string) { remove(t, keyFile) },
			want:   []string{"reading the CA's key", "ca.key", "restore it, or remove", "ca.crt as well to get a new CA"},
		},
		"lost certificate": {
			damage: func(t *testing.T, certFile, _ string) { remove(t, certFile) },
			want:   []string{"reading the CA", "ca.crt", "restore it, or remove", "ca.key as well to get a new CA"},
		},
		"corrupt key": {
			damage: func(t *testing.T, _, keyFile string) { write(t, keyFile, "x") },
			want:   []string{"reading the CA's key", "ca.key"},
		},
		"corrupt certificate": {
			damage: func(t *testing.T, certFile, _ string) { write(t, certFile, "x") },
			want:   []string{"reading the CA", "ca.crt"},
		},
		"empty key": {
			damage: func(t *testing.T, _, keyFile string) { write(t, keyFile, "") },
			want:   []string{"reading the CA's key", "ca.key"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			certFile, keyFile := files(t)
			mustLoadOrCreate(t, certFile, keyFile)
			tc.damage(t, certFile, keyFile)
			_, err := LoadOrCreate(certFile, keyFile, "test-ca")
			if err == nil {
				t.Fatal("no error")
			}
			for _, part := range tc.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error is\n%v\nwant in it\n%s", err, part)
				}
			}
		})
	}
}

func TestKeyOfAnotherAuthorityDoesNotSign(t *testing.T) {
	certFile, keyFile := files(t)
	mustLoadOrCreate(t, certFile, keyFile)
	otherCert, otherKey := files(t)
	mustLoadOrCreate(t, otherCert, otherKey)

	ca, err := LoadOrCreate(certFile, otherKey, "test-ca")
	if err != nil {
		return // refused even earlier
	}
	if _, _, err := ca.Sign(x509.Certificate{}); err == nil {
		t.Error("a certificate was signed that no one can verify")
	}
}

func TestSignedFilesAreAPairThatTheAuthorityVerifies(t *testing.T) {
	certFile, keyFile := files(t)
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
			t.Errorf("as %s: %v", name, err)
		}
	}
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "other"}); err == nil {
		t.Error("it is valid for another name")
	}
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err == nil {
		t.Error("a server's certificate is valid for a client")
	}
	if days := time.Until(pair.Leaf.NotAfter).Hours() / 24; days < 364 || days > 366 {
		t.Errorf("it is valid for %.0f days, want a year", days)
	}
}

func TestKubeconfigHoldsAllThatAClientNeeds(t *testing.T) {
	certFile, keyFile := files(t)
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
		t.Errorf("server %q, insecure=%t, CA\n%s", config.Host, config.Insecure, config.CAData)
	}
	pair, err := tls.X509KeyPair(config.CertData, config.KeyData)
	if err != nil {
		t.Fatal(err)
	}
	if subject := pair.Leaf.Subject; subject.CommonName != "alice" || len(subject.Organization) != 1 || subject.Organization[0] != "staff" {
		t.Errorf("the client is %s", subject)
	}
}

func TestWriteFileTakesOverTheFileForItsOwner(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("old, and longer"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(file, []byte("new")); err != nil {
		t.Fatal(err)
	}
	if content := read(t, file); string(content) != "new" {
		t.Errorf("the content is %q", content)
	}
	checkMode(t, file, 0o600)
	if entries, err := os.ReadDir(filepath.Dir(file)); err != nil || len(entries) != 1 {
		t.Errorf("the directory holds %v, %v", entries, err)
	}
}

func TestCertificatesDoNotOutliveTheirCA(t *testing.T) {
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
		t.Errorf("the certificate is valid until %s, its CA until %s", certs[0].NotAfter, ca.Cert.NotAfter)
	}
}
