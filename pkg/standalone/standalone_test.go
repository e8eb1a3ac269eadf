package standalone

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	certutil "k8s.io/client-go/util/cert"
)

var loopback = net.IPv4(127, 0, 0, 1)

func prepare(t *testing.T, directory string, address net.IP) Files {
	t.Helper()
	files, err := Prepare(directory, address, 8443)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func load(t *testing.T, kubeconfig string) *rest.Config {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

// checkVerifies checks a certificate against the CA of the files.
func checkVerifies(t *testing.T, files Files, cert *x509.Certificate, usage x509.ExtKeyUsage, names ...string) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(read(t, files.CA))
	for _, name := range append(names, "") {
		if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
			t.Errorf("%s as %q: %v", cert.Subject, name, err)
		}
	}
}

func TestTheCertificateHasTheHostNames(t *testing.T) {
	files, err := Prepare(t.TempDir(), loopback, 8443, "sandbox.example.com")
	if err != nil {
		t.Fatal(err)
	}
	certs, err := certutil.CertsFromFile(files.ServingCert)
	if err != nil {
		t.Fatal(err)
	}
	checkVerifies(t, files, certs[0], x509.ExtKeyUsageServerAuth, "localhost", "sandbox.example.com")
}

func TestPreparedDirectoryIsForItsOwnerOnly(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "a", "b")
	prepare(t, directory, loopback)
	err := filepath.WalkDir(directory, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		want := os.FileMode(0o600)
		if entry.IsDir() {
			want = 0o700
		}
		if mode := info.Mode().Perm(); mode != want {
			t.Errorf("%s has the mode %o, want %o", path, mode, want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestCertificatesServeTheAddressAndItsClients(t *testing.T) {
	for address, want := range map[string]struct {
		server string
		names  []string
	}{
		"127.0.0.1": {"https://127.0.0.1:8443", []string{"localhost", "127.0.0.1", "::1"}},
		"192.0.2.7": {"https://192.0.2.7:8443", []string{"localhost", "127.0.0.1", "::1", "192.0.2.7"}},
		"0.0.0.0":   {"https://127.0.0.1:8443", []string{"localhost", "127.0.0.1", "::1"}},
		"::":        {"https://127.0.0.1:8443", []string{"localhost", "127.0.0.1", "::1"}},
		"::1":       {"https://[::1]:8443", []string{"localhost", "127.0.0.1", "::1"}},
	} {
		t.Run(address, func(t *testing.T) {
			files := prepare(t, t.TempDir(), net.ParseIP(address))
			serving, err := tls.LoadX509KeyPair(files.ServingCert, files.ServingKey)
			if err != nil {
				t.Fatal(err)
			}
			checkVerifies(t, files, serving.Leaf, x509.ExtKeyUsageServerAuth, want.names...)

			config := load(t, files.Kubeconfig)
			if config.Host != want.server {
				t.Errorf("the kubeconfig is of %s, want %s", config.Host, want.server)
			}
			if !bytes.Equal(config.CAData, read(t, files.CA)) {
				t.Error("the kubeconfig has another CA")
			}
			client, err := tls.X509KeyPair(config.CertData, config.KeyData)
			if err != nil {
				t.Fatal(err)
			}
			checkVerifies(t, files, client.Leaf, x509.ExtKeyUsageClientAuth)
			if groups := client.Leaf.Subject.Organization; len(groups) != 1 || groups[0] != "system:masters" {
				t.Errorf("the client's groups are %q", groups)
			}
		})
	}
}

func TestSecondPrepareKeepsTheAuthorityAndRenewsTheRest(t *testing.T) {
	directory := t.TempDir()
	first := prepare(t, directory, loopback)
	ca, serving, key := read(t, first.CA), read(t, first.ServingCert), read(t, first.ServingKey)
	former := load(t, first.Kubeconfig)

	second := prepare(t, directory, loopback)
	if second != first {
		t.Errorf("the files are %+v, were %+v", second, first)
	}
	if !bytes.Equal(ca, read(t, second.CA)) {
		t.Error("the CA is another")
	}
	if bytes.Equal(serving, read(t, second.ServingCert)) || bytes.Equal(key, read(t, second.ServingKey)) {
		t.Error("the serving certificate is not renewed")
	}
	client, err := tls.X509KeyPair(former.CertData, former.KeyData)
	if err != nil {
		t.Fatal(err)
	}
	checkVerifies(t, second, client.Leaf, x509.ExtKeyUsageClientAuth)
}

func TestPrepareSaysWhatIsWrong(t *testing.T) {
	for name, tc := range map[string]struct {
		damage func(directory string) error
		want   string
	}{
		"the CA's key is lost": {
			func(d string) error { return os.Remove(filepath.Join(d, "pki", "ca.key")) },
			"remove " + filepath.Join("pki", "ca.crt") + " as well to get a new CA",
		},
		"the CA's key is corrupt": {
			func(d string) error { return os.WriteFile(filepath.Join(d, "pki", "ca.key"), nil, 0o600) },
			"reading the CA's key",
		},
		"the CA is corrupt": {
			func(d string) error { return os.WriteFile(filepath.Join(d, "pki", "ca.crt"), nil, 0o600) },
			"reading the CA",
		},
		"the directory's place is taken by a file": {
			func(d string) error {
				if err := os.RemoveAll(filepath.Join(d, "pki")); err != nil {
					return err
				}
				return os.WriteFile(filepath.Join(d, "pki"), nil, 0o600)
			},
			"making the directory",
		},
		"the kubeconfig's place is taken by a directory": {
			func(d string) error {
				kubeconfig := filepath.Join(d, "admin.kubeconfig")
				if err := os.Remove(kubeconfig); err != nil {
					return err
				}
				return os.Mkdir(kubeconfig, 0o700)
			},
			"admin.kubeconfig",
		},
	} {
		t.Run(name, func(t *testing.T) {
			directory := t.TempDir()
			prepare(t, directory, loopback)
			if err := tc.damage(directory); err != nil {
				t.Fatal(err)
			}
			_, err := Prepare(directory, loopback, 8443)
			if err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), directory+string(filepath.Separator), ""), tc.want) {
				t.Errorf("the error is\n%v\nwant in it\n%s", err, tc.want)
			}
		})
	}
}
