// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"fmt"

	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/batchgate/batchgate/pkg/apiserver/metrics"
)

// recordServerCertificates adds the serving certificates, and the client certificate and CA for
// etcd, to the metrics.
func recordServerCertificates(serving *genericapiserver.SecureServingInfo, etcd *genericoptions.EtcdOptions) {
	if serving != nil && serving.Cert != nil {
		metrics.RecordCertificate("serving", certificateOf(serving.Cert))
	}
	if serving != nil {
		for i, sni := range serving.SNICerts {
			metrics.RecordCertificate(fmt.Sprintf("serving-sni-%d", i), certificateOf(sni))
		}
	}
	transport := etcd.StorageConfig.Transport
	metrics.RecordCertificateFile("etcd-client", nil, transport.CertFile)
	metrics.RecordCAFile("etcd-ca", nil, transport.TrustedCAFile)
}

func certificateOf(provider dynamiccertificates.CertKeyContentProvider) func() []byte {
	return func() []byte {
		certificate, _ := provider.CurrentCertKeyContent()
		return certificate
	}
}

// recordKubeconfigCertificates adds the client certificates and CAs of the kubeconfigs to the
// metrics. cluster is the configuration from --kubeconfig, or the Pod's.
func (o *Options) recordKubeconfigCertificates(cluster *rest.Config) error {
	record := func(name string, config *rest.Config) {
		metrics.RecordCertificateFile(name, config.CertData, config.CertFile)
		metrics.RecordCAFile(name+"-ca", config.CAData, config.CAFile)
	}
	record("kubeconfig", cluster)
	for name, path := range map[string]string{
		"authentication-kubeconfig": o.Authentication.RemoteKubeConfigFile,
		"authorization-kubeconfig":  o.Authorization.RemoteKubeConfigFile,
	} {
		if path == "" || path == o.CoreAPI.CoreAPIKubeconfigPath {
			continue
		}
		config, err := clientcmd.BuildConfigFromFlags("", path)
		if err != nil {
			return fmt.Errorf("reading --%s: %w", name, err)
		}
		record(name, config)
	}
	return nil
}
