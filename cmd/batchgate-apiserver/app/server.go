// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/rest"
	"k8s.io/component-base/cli/flag"
	"k8s.io/component-base/cli/globalflag"
	"k8s.io/component-base/logs"
	logsapi "k8s.io/component-base/logs/api/v1"
	_ "k8s.io/component-base/logs/json/register"          // --logging-format=json
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // metrics of clients and queues
	_ "k8s.io/component-base/metrics/prometheus/version"  // the build's version as a metric
	"k8s.io/component-base/term"
	"k8s.io/component-base/version"
	_ "k8s.io/controller-manager/pkg/features/register" // a feature gate that kube-apiserver accepts
	"k8s.io/klog/v2"

	"github.com/batchgate/batchgate/pkg/apiserver"
	"github.com/batchgate/batchgate/pkg/apiserver/options"
	"github.com/batchgate/batchgate/pkg/embeddedetcd"
)

func init() {
	utilruntime.Must(logsapi.AddFeatureGates(utilfeature.DefaultMutableFeatureGate))
}

// NewCommand returns the root command. It runs a server that belongs to a cluster, until ctx is
// done.
func NewCommand(ctx context.Context) *cobra.Command {
	o := options.New()
	cmd := &cobra.Command{
		Use:   "batchgate-apiserver",
		Short: "Serve batch/v1 with gated updates of Jobs",
		Long: `Batchgate is an aggregated API server for the batch/v1 group. By default, an
update of a Job may change metadata.labels, spec.parallelism, spec.completions
and spec.selector. Batchgate denies all other changes with an error that names
the fields. JobUpdatePolicies allow more.

The APIService v1.batch directs requests for Jobs and CronJobs to Batchgate. It
stores them in the etcd that kube-apiserver uses, or in a dedicated etcd. To try
it without a cluster, run the standalone command.`,
		Example: `  # In a cluster, with the etcd of kube-apiserver
  batchgate-apiserver --kubeconfig=/etc/batchgate/kubeconfig \
    --etcd-servers=https://127.0.0.1:2379 --etcd-cafile=ca.crt --etcd-certfile=client.crt --etcd-keyfile=client.key \
    --tls-cert-file=serving.crt --tls-private-key-file=serving.key

  # Without a cluster
  batchgate-apiserver standalone --directory=/var/lib/batchgate`,
		SilenceUsage: true,
		Args:         cobra.NoArgs,
		PersistentPreRun: func(*cobra.Command, []string) {
			// client-go logs API warnings by default. They are meant for users, not for the log of a server.
			rest.SetDefaultWarningHandler(rest.NoWarnings{})
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runCluster(cmd.Context(), o, cmd)
		},
	}
	cmd.SetContext(ctx)
	addFlags(cmd, o.Flags())
	cmd.AddCommand(newStandaloneCommand(), newEtcdSeedCommand())
	return cmd
}

// addFlags adds the flags to cmd, and groups them in its help.
func addFlags(cmd *cobra.Command, fss flag.NamedFlagSets) {
	fss.FlagSet("global").Bool("version", false, "Print the version and exit.")
	globalflag.AddGlobalFlags(fss.FlagSet("global"), cmd.Name(), logs.SkipLoggingConfigurationFlags())
	for _, fs := range fss.FlagSets {
		cmd.Flags().AddFlagSet(fs)
	}
	cmd.Version = version.Get().GitVersion
	columns, _, _ := term.TerminalSize(cmd.OutOrStdout())
	flag.SetUsageAndHelpFunc(cmd, fss, columns)
}

func runCluster(ctx context.Context, o *options.Options, cmd *cobra.Command) error {
	if err := completeAndValidate(o, o.ValidateCluster); err != nil {
		return err
	}
	flag.PrintFlags(cmd.Flags())
	return run(ctx, o, o.ClusterConfig, nil)
}

// completeAndValidate sets the feature gates, completes and validates the options, and applies the
// logging options if all options are valid. It returns all errors in one aggregate.
func completeAndValidate(o *options.Options, validate func() error) error {
	errs := []error{o.ServerRun.ComponentGlobalsRegistry.Set(), o.Complete(), validate()}
	if err := utilerrors.NewAggregate(errs); err != nil {
		return utilerrors.Flatten(err)
	}
	return logsapi.ValidateAndApply(o.Logs, utilfeature.DefaultFeatureGate)
}

// run runs the server, and the embedded etcd if there is one, until ctx is done. It stops etcd
// after the server has finished all requests. If ready is not nil, run calls it once the server
// is ready.
func run(ctx context.Context, o *options.Options, newConfig func() (*apiserver.Config, error), ready func()) error {
	klog.FromContext(ctx).Info("Starting batchgate-apiserver", "version", version.Get().GitVersion)
	setMemoryLimit()
	o.ServerRun.ComponentGlobalsRegistry.AddMetrics()
	utilfeature.DefaultMutableFeatureGate.AddMetrics()
	if o.EmbeddedEtcd.Directory != "" {
		etcd, err := embeddedetcd.Start(ctx, o.EmbeddedEtcd)
		if err != nil {
			return err
		}
		defer etcd.Stop()
		o.Etcd.StorageConfig.Transport.ServerList = []string{etcd.Endpoint()}
	}
	config, err := newConfig()
	if err != nil {
		return err
	}
	server, err := config.Complete().New()
	if err != nil {
		return explainEtcdError(err, o.Etcd.StorageConfig.Transport.ServerList)
	}
	if ready != nil {
		if err := addReadyHook(server, ready); err != nil {
			return err
		}
	}
	if err := server.PrepareRun().RunWithContext(ctx); err != nil {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}

// explainEtcdError adds the URLs and the possible causes to the error for a connection to etcd that
// timed out. The error of upstream's etcd client has neither.
func explainEtcdError(err error, servers []string) error {
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("connecting to etcd at %s: %w: check that this URL can be reached from here, that --etcd-cafile has the CA of etcd, and that etcd trusts the certificate of --etcd-certfile",
		strings.Join(servers, ","), err)
}
