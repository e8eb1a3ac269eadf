// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"fmt"

	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	certutil "k8s.io/client-go/util/cert"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/klog/v2"
)

// The generic server has metrics of client certificates only.
var servingCertificateExpiration = metrics.NewGauge(&metrics.GaugeOpts{
	Namespace:      "batchgate",
	Name:           "serving_certificate_expiration_timestamp_seconds",
	Help:           "Time at which the serving certificate that was last read from --tls-cert-file expires, in seconds since January 1, 1970 UTC.",
	StabilityLevel: metrics.ALPHA,
})

func init() { legacyregistry.MustRegister(servingCertificateExpiration) }

// RecordServingCertificate records when the serving certificate expires, now and each time the
// server reloads it. It does nothing if the server has no certificate.
func RecordServingCertificate(serving *genericapiserver.SecureServingInfo) error {
	if serving == nil || serving.Cert == nil {
		return nil
	}
	r := certificateRecorder{serving.Cert}
	serving.Cert.AddListener(r)
	return r.record()
}

// certificateRecorder records the expiration of a certificate that changes.
type certificateRecorder struct {
	dynamiccertificates.CertKeyContentProvider
}

var _ dynamiccertificates.Listener = certificateRecorder{}

// Enqueue implements dynamiccertificates.Listener.
func (r certificateRecorder) Enqueue() {
	if err := r.record(); err != nil {
		klog.Background().Error(err, "Failed to update the serving certificate metric")
	}
}

func (r certificateRecorder) record() error {
	content, _ := r.CurrentCertKeyContent()
	certificates, err := certutil.ParseCertsPEM(content)
	if err != nil {
		return fmt.Errorf("parsing the serving certificate %s: %w", r.Name(), err)
	}
	// The first certificate is the server's, the others are intermediate CAs.
	servingCertificateExpiration.Set(float64(certificates[0].NotAfter.Unix()))
	return nil
}
