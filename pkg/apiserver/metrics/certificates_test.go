// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	certutil "k8s.io/client-go/util/cert"
	"k8s.io/component-base/metrics/legacyregistry"

	"github.com/batchgate/batchgate/pkg/pki"
)

// The metric follows a certificate that is replaced in its file.
func TestRecordCertificateFile_Replaced(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	// A CA's own certificate is valid for ten years, and a certificate that it signs for one.
	ca, err := pki.LoadOrCreate(cert, key, "test")
	if err != nil {
		t.Fatal(err)
	}
	RecordCertificateFile("replaced", nil, cert)
	first := checkExpiration(t, "replaced", cert)
	if err := ca.SignFiles(cert, key, x509.Certificate{DNSNames: []string{"renewed"}}); err != nil {
		t.Fatal(err)
	}
	if renewed := checkExpiration(t, "replaced", cert); !renewed.Before(first) {
		t.Errorf("the renewed certificate expires at %s, want before %s", renewed, first)
	}
}

func TestRecordCABundle(t *testing.T) {
	dir := t.TempDir()
	caFile := filepath.Join(dir, "ca.crt")
	ca, err := pki.LoadOrCreate(caFile, filepath.Join(dir, "ca.key"), "test")
	if err != nil {
		t.Fatal(err)
	}
	short, _, err := ca.Sign(x509.Certificate{DNSNames: []string{"expires first"}})
	if err != nil {
		t.Fatal(err)
	}
	bundle := slices.Concat(short, ca.CertPEM)
	RecordCABundle("bundle", func() []byte { return bundle })
	checkExpiration(t, "bundle", caFile)
	RecordCertificate("chain", func() []byte { return bundle })
	if chain, last := expiration(t, "chain"), expiration(t, "bundle"); !chain.Before(last) {
		t.Errorf("the chain expires at %s, want the expiration of its first certificate, which is before %s", chain, last)
	}
}

// A certificate that is missing or invalid has no value, and does not hide the others.
func TestRecordCertificate_None(t *testing.T) {
	RecordCertificateFile("unset", nil, "")
	RecordCAFile("unset CA", nil, "")
	RecordCertificateFile("no file", nil, filepath.Join(t.TempDir(), "missing"))
	RecordCertificate("not loaded", func() []byte { return nil })
	RecordCAFile("invalid", []byte("x"), "")
	dir := t.TempDir()
	ca, err := pki.LoadOrCreate(filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key"), "test")
	if err != nil {
		t.Fatal(err)
	}
	RecordCAFile("valid", ca.CertPEM, "")
	for _, name := range []string{"unset", "unset CA", "no file", "not loaded", "invalid"} {
		if got := expiration(t, name); !got.IsZero() {
			t.Errorf("%s: got %s, want no value", name, got)
		}
	}
	checkExpiration(t, "valid", filepath.Join(dir, "ca.crt"))
}

// checkExpiration compares the metric with the first certificate in the file, and returns its
// expiration time.
func checkExpiration(t *testing.T, name, file string) time.Time {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := certutil.ParseCertsPEM(content)
	if err != nil {
		t.Fatal(err)
	}
	want := parsed[0].NotAfter
	if got := expiration(t, name); !got.Equal(want) {
		t.Errorf("the metric is %s, want %s", got, want)
	}
	return want
}

// expiration returns the value of the metric, or the zero time if it has none.
func expiration(t *testing.T, name string) time.Time {
	t.Helper()
	families, err := legacyregistry.DefaultGatherer.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != "batchgate_certificate_expiration_timestamp_seconds" {
			continue
		}
		for _, metric := range family.GetMetric() {
			if metric.GetLabel()[0].GetValue() == name {
				return time.Unix(int64(metric.GetGauge().GetValue()), 0)
			}
		}
	}
	return time.Time{}
}
