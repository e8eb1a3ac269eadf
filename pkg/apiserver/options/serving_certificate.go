package options

import (
	"fmt"

	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	certutil "k8s.io/client-go/util/cert"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/klog/v2"
)

// Upstream counts how long the certificates of clients are valid, and says nothing of its own.
var servingCertificateExpiration = metrics.NewGauge(&metrics.GaugeOpts{
	Namespace:      "batchgate",
	Name:           "serving_certificate_expiration_timestamp_seconds",
	Help:           "When the certificate that is served with expires, in seconds since 1970. That of --tls-cert-file, as it was read last.",
	StabilityLevel: metrics.ALPHA,
})

func init() { legacyregistry.MustRegister(servingCertificateExpiration) }

// measureServingCertificate shows when the serving certificate expires, now and whenever it is
// read again.
func measureServingCertificate(serving *genericapiserver.SecureServingInfo) error {
	if serving == nil || serving.Cert == nil {
		return nil
	}
	m := certificateMeasure{serving.Cert}
	serving.Cert.AddListener(m)
	return m.measure()
}

// certificateMeasure is told when the certificate is another one.
type certificateMeasure struct {
	dynamiccertificates.CertKeyContentProvider
}

var _ dynamiccertificates.Listener = certificateMeasure{}

// Enqueue implements dynamiccertificates.Listener.
func (m certificateMeasure) Enqueue() {
	if err := m.measure(); err != nil {
		klog.Background().Error(err, "The metric of the serving certificate is not up to date")
	}
}

func (m certificateMeasure) measure() error {
	content, _ := m.CurrentCertKeyContent()
	certificates, err := certutil.ParseCertsPEM(content)
	if err != nil {
		return fmt.Errorf("reading the serving certificate %s: %w", m.Name(), err)
	}
	// The first is the server's own; those that follow lead to the CA.
	servingCertificateExpiration.Set(float64(certificates[0].NotAfter.Unix()))
	return nil
}
