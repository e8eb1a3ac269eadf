// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"errors"
	"fmt"
	"time"

	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	logsapi "k8s.io/component-base/logs/api/v1"
)

// Validate validates the options and returns all errors in one aggregate.
func (o *Options) Validate() error {
	var errs []error
	if o.EmbeddedEtcd.Directory == "" {
		errs = append(errs, o.Etcd.Validate()...)
	} else if len(o.Etcd.StorageConfig.Transport.ServerList) > 0 {
		errs = append(errs, errors.New("--etcd-servers and --embedded-etcd-directory are mutually exclusive: set the one that stores the Jobs"))
	}
	if o.UnreachableTimeout != 0 && o.UnreachableTimeout < time.Minute {
		errs = append(errs, errors.New("--kube-apiserver-unreachable-timeout must be 0 or at least 1m: a shorter one would make all replicas not ready whenever kube-apiserver restarts"))
	}
	errs = append(errs, o.validateServing()...)
	errs = append(errs, o.ServerRun.Validate()...)
	errs = append(errs, o.Authentication.Validate()...)
	errs = append(errs, o.Authorization.Validate()...)
	errs = append(errs, o.CoreAPI.Validate()...)
	errs = append(errs, o.Admission.Validate()...)
	errs = append(errs, o.Audit.Validate()...)
	errs = append(errs, o.Features.Validate()...)
	errs = append(errs, o.Traces.Validate()...)
	errs = append(errs, o.Metrics.Validate()...)
	for _, err := range logsapi.Validate(o.Logs, utilfeature.DefaultFeatureGate, field.NewPath("logging")) {
		errs = append(errs, err)
	}
	return utilerrors.NewAggregate(errs)
}

// validateServing also requires a certificate. Without one, upstream generates a self-signed
// certificate, which no aggregator can verify.
func (o *Options) validateServing() []error {
	errs := o.SecureServing.Validate()
	if o.SecureServing.BindPort == 0 && o.SecureServing.Listener == nil {
		errs = append(errs, errors.New("--secure-port must not be 0: the server has no other port"))
	}
	cert := o.SecureServing.ServerCert
	if cert.GeneratedCert == nil && (cert.CertKey.CertFile == "" || cert.CertKey.KeyFile == "") {
		errs = append(errs, errors.New("--tls-cert-file and --tls-private-key-file are required: set a certificate for <service>.<namespace>.svc, or run the standalone command, which creates its own"))
	}
	return errs
}

// ValidateCluster is Validate for a server that belongs to a cluster. It also reads the
// kubeconfigs and returns an error for each one that is missing or invalid. It does not connect
// to any server.
func (o *Options) ValidateCluster() error {
	errs := []error{o.Validate()}
	if o.CoreAPI.CoreAPIKubeconfigPath == "" {
		if _, err := rest.InClusterConfig(); err != nil {
			errs = append(errs, fmt.Errorf("--kubeconfig is required outside of a cluster (%w); to run without a cluster, use the standalone command", err))
		}
	}
	for _, kubeconfig := range []struct{ flag, path string }{
		{"--kubeconfig", o.CoreAPI.CoreAPIKubeconfigPath},
		{"--authentication-kubeconfig", o.Authentication.RemoteKubeConfigFile},
		{"--authorization-kubeconfig", o.Authorization.RemoteKubeConfigFile},
	} {
		// Complete sets the others to the first one. Report an error in it once.
		if kubeconfig.path == "" || kubeconfig.flag != "--kubeconfig" && kubeconfig.path == o.CoreAPI.CoreAPIKubeconfigPath {
			continue
		}
		if _, err := clientcmd.BuildConfigFromFlags("", kubeconfig.path); err != nil {
			errs = append(errs, fmt.Errorf("reading %s: %w", kubeconfig.flag, err))
		}
	}
	return utilerrors.Flatten(utilerrors.NewAggregate(errs))
}
