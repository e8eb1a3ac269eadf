// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package pki

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	certutil "k8s.io/client-go/util/cert"
)

// newPaths returns paths for a CA's certificate and key in a new directory.
func newPaths(t *testing.T) (certFile, keyFile string) {
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
		t.Errorf("%s has mode %o, want %o", filepath.Base(file), mode, want)
	}
}

func TestLoadOrCreate_Twice(t *testing.T) {
	certFile, keyFile := newPaths(t)
	first := mustLoadOrCreate(t, certFile, keyFile)
	cert, key := read(t, certFile), read(t, keyFile)
	second := mustLoadOrCreate(t, certFile, keyFile)

	if !bytes.Equal(cert, read(t, certFile)) || !bytes.Equal(key, read(t, keyFile)) {
		t.Error("the second call changed the files")
	}
	if !bytes.Equal(first.CertPEM, second.CertPEM) || !bytes.Equal(first.CertPEM, cert) {
		t.Error("the certificate differs from the file")
	}
	checkMode(t, certFile, 0o600)
	checkMode(t, keyFile, 0o600)
	parsed, err := certutil.ParseCertsPEM(cert)
	if err != nil {
		t.Fatal(err)
	}
	if ca := parsed[0]; !ca.IsCA || ca.Subject.CommonName != "test-ca" || ca.NotAfter.Before(time.Now().AddDate(9, 0, 0)) {
		t.Errorf("got CA=%t, name %q, expiration %s", ca.IsCA, ca.Subject.CommonName, ca.NotAfter)
	}
}

func TestLoadOrCreate_DamagedFiles(t *testing.T) {
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
			want:   []string{"reading the CA's key", "ca.key", "restore it, or also remove", "ca.crt to get a new CA"},
		},
		"lost certificate": {
			damage: func(t *testing.T, certFile, _ string) { remove(t, certFile) },
			want:   []string{"reading the CA", "ca.crt", "restore it, or also remove", "ca.key to get a new CA"},
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
			certFile, keyFile := newPaths(t)
			mustLoadOrCreate(t, certFile, keyFile)
			tc.damage(t, certFile, keyFile)
			_, err := LoadOrCreate(certFile, keyFile, "test-ca")
			if err == nil {
				t.Fatal("got no error")
			}
			for _, part := range tc.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("got error\n%v\nwant it to contain\n%s", err, part)
				}
			}
		})
	}
}
