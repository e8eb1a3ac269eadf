// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

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

// checkCertificate verifies a certificate against the CA in files, for each of the names.
func checkCertificate(t *testing.T, files Files, cert *x509.Certificate, usage x509.ExtKeyUsage, names ...string) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(read(t, files.CA))
	for _, name := range append(names, "") {
		if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
			t.Errorf("verifying %s for the name %q: %v", cert.Subject, name, err)
		}
	}
}

func TestPrepare_HostNames(t *testing.T) {
	files, err := Prepare(t.TempDir(), loopback, 8443, "sandbox.example.com")
	if err != nil {
		t.Fatal(err)
	}
	certs, err := certutil.CertsFromFile(files.ServingCert)
	if err != nil {
		t.Fatal(err)
	}
	checkCertificate(t, files, certs[0], x509.ExtKeyUsageServerAuth, "localhost", "sandbox.example.com")
}

func TestPrepare_FileModes(t *testing.T) {
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
			t.Errorf("%s has mode %o, want %o", path, mode, want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestPrepare_Certificates(t *testing.T) {
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
			checkCertificate(t, files, serving.Leaf, x509.ExtKeyUsageServerAuth, want.names...)

			config := load(t, files.Kubeconfig)
			if config.Host != want.server {
				t.Errorf("the kubeconfig has server %s, want %s", config.Host, want.server)
			}
			if !bytes.Equal(config.CAData, read(t, files.CA)) {
				t.Error("the CA in the kubeconfig differs from the file")
			}
			client, err := tls.X509KeyPair(config.CertData, config.KeyData)
			if err != nil {
				t.Fatal(err)
			}
			checkCertificate(t, files, client.Leaf, x509.ExtKeyUsageClientAuth)
			if groups := client.Leaf.Subject.Organization; len(groups) != 1 || groups[0] != "system:masters" {
				t.Errorf("the client has groups %q, want system:masters only", groups)
			}
		})
	}
}

func TestPrepare_Twice(t *testing.T) {
	directory := t.TempDir()
	first := prepare(t, directory, loopback)
	ca, serving, key := read(t, first.CA), read(t, first.ServingCert), read(t, first.ServingKey)
	earlier := load(t, first.Kubeconfig)

	second := prepare(t, directory, loopback)
	if second != first {
		t.Errorf("got files %+v, want %+v", second, first)
	}
	if !bytes.Equal(ca, read(t, second.CA)) {
		t.Error("the CA changed")
	}
	if bytes.Equal(serving, read(t, second.ServingCert)) || bytes.Equal(key, read(t, second.ServingKey)) {
		t.Error("the serving certificate was not renewed")
	}
	client, err := tls.X509KeyPair(earlier.CertData, earlier.KeyData)
	if err != nil {
		t.Fatal(err)
	}
	checkCertificate(t, second, client.Leaf, x509.ExtKeyUsageClientAuth)
}

func TestPrepare_InvalidDirectory(t *testing.T) {
	for name, tc := range map[string]struct {
		damage func(directory string) error
		want   string
	}{
		"missing CA key": {
			func(d string) error { return os.Remove(filepath.Join(d, "pki", "ca.key")) },
			"also remove " + filepath.Join("pki", "ca.crt") + " to get a new CA",
		},
		"corrupt CA key": {
			func(d string) error { return os.WriteFile(filepath.Join(d, "pki", "ca.key"), nil, 0o600) },
			"reading the CA's key",
		},
		"corrupt CA certificate": {
			func(d string) error { return os.WriteFile(filepath.Join(d, "pki", "ca.crt"), nil, 0o600) },
			"reading the CA",
		},
		"directory is file": {
			func(d string) error {
				if err := os.RemoveAll(filepath.Join(d, "pki")); err != nil {
					return err
				}
				return os.WriteFile(filepath.Join(d, "pki"), nil, 0o600)
			},
			"creating the directory",
		},
		"kubeconfig is directory": {
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
				t.Errorf("got error\n%v\nwant it to contain\n%s", err, tc.want)
			}
		})
	}
}
