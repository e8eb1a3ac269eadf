package options

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

func TestTheMetricOfTheServingCertificateFollowsItsFile(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	// A CA that serves by itself is valid for ten years, what it signs for one.
	ca, err := pki.LoadOrCreate(cert, key, "test")
	if err != nil {
		t.Fatal(err)
	}
	content, err := dynamiccertificates.NewDynamicServingContentFromFiles("serving-cert", cert, key)
	if err != nil {
		t.Fatal(err)
	}
	if err := measureServingCertificate(&genericapiserver.SecureServingInfo{Cert: content}); err != nil {
		t.Fatal(err)
	}
	first := expectMeasured(t, cert)

	if err := ca.SignFiles(cert, key, x509.Certificate{DNSNames: []string{"renewed"}}); err != nil {
		t.Fatal(err)
	}
	if err := content.RunOnce(t.Context()); err != nil {
		t.Fatal(err)
	}
	if renewed := expectMeasured(t, cert); !renewed.Before(first) {
		t.Errorf("the renewed certificate expires at %s, the first one at %s", renewed, first)
	}
}

func TestAServerWithoutACertificateHasNothingToMeasure(t *testing.T) {
	for name, serving := range map[string]*genericapiserver.SecureServingInfo{"not serving": nil, "no certificate": {}} {
		if err := measureServingCertificate(serving); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// expectMeasured compares the metric with the certificate in the file, and returns when that
// expires.
func expectMeasured(t *testing.T, file string) time.Time {
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
		t.Errorf("the metric says %s, the certificate %s", time.Unix(int64(got), 0), want)
	}
	return want
}
