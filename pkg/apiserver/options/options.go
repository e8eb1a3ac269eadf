// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"time"

	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/component-base/logs"
	"k8s.io/component-base/metrics"

	"github.com/batchgate/batchgate/pkg/apiserver/admission"
	"github.com/batchgate/batchgate/pkg/apiserver/storage"
	"github.com/batchgate/batchgate/pkg/embeddedetcd"
)

// Options configures the server.
type Options struct {
	ServerRun      *genericoptions.ServerRunOptions
	Etcd           *genericoptions.EtcdOptions
	SecureServing  *genericoptions.SecureServingOptionsWithLoopback
	Authentication *genericoptions.DelegatingAuthenticationOptions
	Authorization  *genericoptions.DelegatingAuthorizationOptions
	Audit          *genericoptions.AuditOptions
	Features       *genericoptions.FeatureOptions
	CoreAPI        *genericoptions.CoreAPIOptions
	Admission      *genericoptions.AdmissionOptions
	Traces         *genericoptions.TracingOptions
	Metrics        *metrics.Options
	Logs           *logs.Options

	// EmbeddedEtcd is used if its directory is set. Otherwise Etcd names the servers.
	EmbeddedEtcd embeddedetcd.Options
	// ServeSelfLink sets metadata.selfLink in responses that contain a single Job.
	ServeSelfLink bool
	// AllowPrivileged allows privileged containers in Jobs and CronJobs. It is a global setting:
	// the first server that a process configures determines it.
	AllowPrivileged bool
	// AuthorizeFrontProxy sends a SubjectAccessReview for proxied requests, which kube-apiserver
	// has already authorized.
	AuthorizeFrontProxy bool
	// RecordEvents records an Event on the Job for each denied update.
	RecordEvents bool
	// UnreachableTimeout is how long kube-apiserver may be unreachable before the server becomes
	// not ready. Zero means forever.
	UnreachableTimeout time.Duration
	// AllowUnsupportedVersionSkew serves writes although kube-apiserver is more than one minor
	// version newer than what this server emulates.
	AllowUnsupportedVersionSkew bool
}

// New returns options with default values.
func New() *Options {
	secureServing := genericoptions.NewSecureServingOptions()
	secureServing.BindPort = 8443
	// The aggregator is the usual client. It multiplexes the requests of all its users over few
	// connections.
	secureServing.HTTP2MaxStreamsPerConnection = 1000

	return &Options{
		ServerRun:      genericoptions.NewServerRunOptions(),
		Etcd:           storage.NewOptions(),
		SecureServing:  secureServing.WithLoopback(),
		Authentication: genericoptions.NewDelegatingAuthenticationOptions(),
		Authorization:  genericoptions.NewDelegatingAuthorizationOptions(),
		Audit:          genericoptions.NewAuditOptions(),
		Features:       genericoptions.NewFeatureOptions(),
		CoreAPI:        genericoptions.NewCoreAPIOptions(),
		Admission:      admission.NewOptions(),
		Traces:         genericoptions.NewTracingOptions(),
		Metrics:        metrics.NewOptions(),
		Logs:           logs.NewOptions(),
		ServeSelfLink:  true,
		// kube-apiserver's default is false, but kubeadm and most other installers set true. A Job
		// that is valid in such a cluster must stay valid here. kube-apiserver still validates the
		// Pods.
		AllowPrivileged: true,
	}
}

// Complete sets the options that default to other options. It does no I/O.
func (o *Options) Complete() error {
	if o.Authentication.RemoteKubeConfigFile == "" {
		o.Authentication.RemoteKubeConfigFile = o.CoreAPI.CoreAPIKubeconfigPath
	}
	if o.Authorization.RemoteKubeConfigFile == "" {
		o.Authorization.RemoteKubeConfigFile = o.CoreAPI.CoreAPIKubeconfigPath
	}
	return o.ServerRun.Complete()
}
