// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"os"
	"sync"
	"time"

	certutil "k8s.io/client-go/util/cert"
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
	"k8s.io/klog/v2"
)

// The generic server has metrics of its clients' certificates only.
var certificateExpiration = metrics.NewDesc("batchgate_certificate_expiration_timestamp_seconds",
	"Time at which a certificate that the server uses expires, in seconds since January 1, 1970 UTC. For a bundle of CAs, the time at which the last one expires.",
	[]string{"certificate"}, nil, metrics.ALPHA, "")

// certificates are the certificates of this process.
var certificates = &certificateCollector{sources: map[string]certificateSource{}}

func init() { legacyregistry.CustomMustRegister(certificates) }

// certificateSource returns certificates in PEM, or nothing if there are none yet.
type certificateSource struct {
	read func() ([]byte, error)
	isCA bool
}

// certificateCollector reads the certificates whenever the metrics are collected, so that the
// metrics follow replaced files.
type certificateCollector struct {
	metrics.BaseStableCollector

	mu      sync.Mutex
	sources map[string]certificateSource
}

var _ metrics.StableCollector = &certificateCollector{}

// RecordCertificate adds a certificate that the server identifies itself with. The first one that
// read returns counts; the others are intermediate CAs.
func RecordCertificate(name string, read func() []byte) {
	certificates.set(name, certificateSource{read: func() ([]byte, error) { return read(), nil }})
}

// RecordCABundle adds CAs that the server verifies others with.
func RecordCABundle(name string, read func() []byte) {
	certificates.set(name, certificateSource{read: func() ([]byte, error) { return read(), nil }, isCA: true})
}

// RecordCertificateFile is RecordCertificate for data, or for a file if there is no data. It does
// nothing if both are empty.
func RecordCertificateFile(name string, data []byte, file string) {
	if read := dataOrFile(data, file); read != nil {
		certificates.set(name, certificateSource{read: read})
	}
}

// RecordCAFile is RecordCABundle for data, or for a file if there is no data. It does nothing if
// both are empty.
func RecordCAFile(name string, data []byte, file string) {
	if read := dataOrFile(data, file); read != nil {
		certificates.set(name, certificateSource{read: read, isCA: true})
	}
}

func dataOrFile(data []byte, file string) func() ([]byte, error) {
	switch {
	case len(data) > 0:
		return func() ([]byte, error) { return data, nil }
	case file != "":
		return func() ([]byte, error) { return os.ReadFile(file) }
	}
	return nil
}

func (c *certificateCollector) set(name string, source certificateSource) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sources[name] = source
}

// DescribeWithStability implements metrics.StableCollector.
func (c *certificateCollector) DescribeWithStability(ch chan<- *metrics.Desc) {
	ch <- certificateExpiration
}

// CollectWithStability implements metrics.StableCollector.
func (c *certificateCollector) CollectWithStability(ch chan<- metrics.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, source := range c.sources {
		expires, err := source.expires()
		if err != nil {
			klog.Background().Error(err, "Failed to read a certificate for the metric of its expiration", "certificate", name)
			continue
		}
		if !expires.IsZero() {
			ch <- metrics.NewLazyConstMetric(certificateExpiration, metrics.GaugeValue, float64(expires.Unix()), name)
		}
	}
}

// expires returns the zero time if there is no certificate yet.
func (s certificateSource) expires() (time.Time, error) {
	content, err := s.read()
	if err != nil || len(content) == 0 {
		return time.Time{}, err
	}
	parsed, err := certutil.ParseCertsPEM(content)
	if err != nil {
		return time.Time{}, err
	}
	expires := parsed[0].NotAfter
	for _, certificate := range parsed[1:] {
		if s.isCA && certificate.NotAfter.After(expires) {
			expires = certificate.NotAfter
		}
	}
	return expires, nil
}
