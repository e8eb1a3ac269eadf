// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"crypto/x509"
	"path/filepath"
	"testing"
	"time"

	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	certutil "k8s.io/client-go/util/cert"
	"k8s.io/component-base/metrics/testutil"

	"github.com/batchgate/batchgate/pkg/pki"
)

func TestRecordServingCertificate_Reload(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	// A CA's own certificate is valid for ten years, and a certificate that it signs for one.
	ca, err := pki.LoadOrCreate(cert, key, "test")
	if err != nil {
		t.Fatal(err)
	}
	content, err := dynamiccertificates.NewDynamicServingContentFromFiles("serving-cert", cert, key)
	if err != nil {
		t.Fatal(err)
	}
	if err := RecordServingCertificate(&genericapiserver.SecureServingInfo{Cert: content}); err != nil {
		t.Fatal(err)
	}
	first := checkExpiration(t, cert)

	if err := ca.SignFiles(cert, key, x509.Certificate{DNSNames: []string{"renewed"}}); err != nil {
		t.Fatal(err)
	}
	if err := content.RunOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	if renewed := checkExpiration(t, cert); !renewed.Before(first) {
		t.Errorf("the renewed certificate expires at %s, want before %s", renewed, first)
	}
}

func TestRecordServingCertificate_NoCertificate(t *testing.T) {
	for name, serving := range map[string]*genericapiserver.SecureServingInfo{"not serving": nil, "no certificate": {}} {
		if err := RecordServingCertificate(serving); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// checkExpiration compares the metric with the certificate in the file, and returns the
// certificate's expiration time.
func checkExpiration(t *testing.T, file string) time.Time {
	t.Helper()
	certificates, err := certutil.CertsFromFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got, err := testutil.GetGaugeMetricValue(servingCertificateExpiration)
	if err != nil {
		t.Fatal(err)
	}
	want := certificates[0].NotAfter
	if got != float64(want.Unix()) {
		t.Errorf("the metric is %s, want %s", time.Unix(int64(got), 0), want)
	}
	return want
}
