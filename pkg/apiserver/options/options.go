// Package options turns command line flags into the configuration of the server.
package options

import (
	"fmt"

	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/apiserver/pkg/storage/storagebackend"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/component-base/cli/flag"
	"k8s.io/component-base/logs"
	logsapi "k8s.io/component-base/logs/api/v1"
	"k8s.io/component-base/metrics"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/batchgate/batchgate/pkg/embeddedetcd"
)

// DefaultEtcdPrefix is where kube-apiserver keeps its objects by default. Both servers must
// agree on it to see the same Jobs.
const DefaultEtcdPrefix = "/registry"

// Options are the flags of the server.
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

	// EmbeddedEtcd is the etcd in this process; it runs where a directory is set.
	EmbeddedEtcd embeddedetcd.Options
	// ServeSelfLink fills metadata.selfLink in answers about one Job.
	ServeSelfLink bool
	// AllowPrivileged lets Jobs have privileged containers. It is one setting for the process:
	// the first server that is configured decides.
	AllowPrivileged bool
	// AuthorizeFrontProxy asks for the authorization of requests that kube-apiserver has
	// authorized already, and passed on.
	AuthorizeFrontProxy bool
}

// New returns the defaults.
func New() *Options {
	secureServing := genericoptions.NewSecureServingOptions()
	secureServing.BindPort = 8443
	// The usual client is an aggregator that multiplexes all its users over few connections.
	secureServing.HTTP2MaxStreamsPerConnection = 1000

	etcd := genericoptions.NewEtcdOptions(storagebackend.NewDefaultConfig(DefaultEtcdPrefix, nil))
	// What kube-apiserver writes.
	etcd.DefaultStorageMediaType = runtime.ContentTypeProtobuf
	etcd.WatchCacheSizes = []string{}

	authentication := genericoptions.NewDelegatingAuthenticationOptions()

	return &Options{
		ServerRun:      genericoptions.NewServerRunOptions(),
		Etcd:           etcd,
		SecureServing:  secureServing.WithLoopback(),
		Authentication: authentication,
		Authorization:  genericoptions.NewDelegatingAuthorizationOptions(),
		Audit:          genericoptions.NewAuditOptions(),
		Features:       genericoptions.NewFeatureOptions(),
		CoreAPI:        genericoptions.NewCoreAPIOptions(),
		Admission:      newAdmissionOptions(),
		Traces:         genericoptions.NewTracingOptions(),
		Metrics:        metrics.NewOptions(),
		Logs:           logs.NewOptions(),
		ServeSelfLink:  true,
		// Unlike kube-apiserver's default, and like every cluster that kubeadm makes: its Jobs must
		// stay valid. kube-apiserver allows or refuses their Pods in any case.
		AllowPrivileged: true,
	}
}

// Flags returns the flags by subject.
func (o *Options) Flags() flag.NamedFlagSets {
	var fss flag.NamedFlagSets
	fs := fss.FlagSet("batchgate")
	fs.BoolVar(&o.ServeSelfLink, "serve-self-link", o.ServeSelfLink, "Fill metadata.selfLink in answers about a single Job. Lists and watches never carry it.")
	fs.BoolVar(&o.AllowPrivileged, "allow-privileged", o.AllowPrivileged, "Allow privileged containers in Jobs and CronJobs. Set it to false where kube-apiserver does not allow them.")
	fs.StringVar(&o.EmbeddedEtcd.Directory, "embedded-etcd-directory", o.EmbeddedEtcd.Directory, "Run etcd in this process and keep its data in this directory, for one machine. Excludes --etcd-servers.")

	o.ServerRun.AddUniversalFlags(fss.FlagSet("generic"))
	o.Etcd.AddFlags(fss.FlagSet("etcd"))
	o.SecureServing.AddFlags(fss.FlagSet("secure serving"))
	o.CoreAPI.AddFlags(fss.FlagSet("cluster"))
	o.Authentication.AddFlags(fss.FlagSet("authentication"))
	o.Authorization.AddFlags(fss.FlagSet("authorization"))
	fss.FlagSet("authorization").BoolVar(&o.AuthorizeFrontProxy, "authorize-front-proxy", o.AuthorizeFrontProxy, "Ask the cluster for the authorization also of requests that kube-apiserver has authorized, and passed on by its front proxy. It is not needed: whoever holds the front proxy's key can name a user who may do everything. Direct requests are always authorized.")
	o.Admission.AddFlags(fss.FlagSet("admission"))
	o.Audit.AddFlags(fss.FlagSet("auditing"))
	o.Features.AddFlags(fss.FlagSet("features"))
	o.Traces.AddFlags(fss.FlagSet("traces"))
	o.Metrics.AddFlags(fss.FlagSet("metrics"))
	logsapi.AddFlags(o.Logs, fss.FlagSet("logs"))
	return fss
}

// Complete sets what follows from other flags: the files a cluster is reached with.
func (o *Options) Complete() error {
	if o.Authentication.RemoteKubeConfigFile == "" {
		o.Authentication.RemoteKubeConfigFile = o.CoreAPI.CoreAPIKubeconfigPath
	}
	if o.Authorization.RemoteKubeConfigFile == "" {
		o.Authorization.RemoteKubeConfigFile = o.CoreAPI.CoreAPIKubeconfigPath
	}
	return o.ServerRun.Complete()
}

// Validate returns one error that names everything that is wrong, nil if nothing is.
func (o *Options) Validate() error {
	var errs []error
	if o.EmbeddedEtcd.Directory == "" {
		errs = append(errs, o.Etcd.Validate()...)
	} else if len(o.Etcd.StorageConfig.Transport.ServerList) > 0 {
		errs = append(errs, fmt.Errorf("--etcd-servers and --embedded-etcd-directory exclude each other: give the one that holds the Jobs"))
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

// validateServing adds to upstream's rules that a certificate must be given. Upstream would
// make up a self-signed one, which no aggregator can verify.
func (o *Options) validateServing() []error {
	errs := o.SecureServing.Validate()
	if o.SecureServing.BindPort == 0 && o.SecureServing.Listener == nil {
		errs = append(errs, fmt.Errorf("--secure-port must not be 0: there is no other way to serve"))
	}
	cert := o.SecureServing.ServerCert
	if cert.GeneratedCert == nil && (cert.CertKey.CertFile == "" || cert.CertKey.KeyFile == "") {
		errs = append(errs, fmt.Errorf("--tls-cert-file and --tls-private-key-file are required: give a certificate that names <service>.<namespace>.svc, or run the standalone command, which makes its own"))
	}
	return errs
}
