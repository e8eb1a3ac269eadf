// Package app is the command line of batchgate-apiserver.
package app

import (
	"context"
	"fmt"

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
	"k8s.io/klog/v2"

	"github.com/batchgate/batchgate/pkg/apiserver"
	"github.com/batchgate/batchgate/pkg/apiserver/options"
	"github.com/batchgate/batchgate/pkg/embeddedetcd"
)

func init() {
	utilruntime.Must(logsapi.AddFeatureGates(utilfeature.DefaultMutableFeatureGate))
}

// NewCommand returns the command that runs the server until ctx is done.
func NewCommand(ctx context.Context) *cobra.Command {
	o := options.New()
	cmd := &cobra.Command{
		Use:   "batchgate-apiserver",
		Short: "Serve batch/v1 with gated updates of Jobs",
		Long: `Batchgate is an aggregated API server for the batch/v1 group. An update of a Job
may change metadata.labels, spec.parallelism, spec.completions and spec.selector;
every other change is refused with an error that names it.

It is put in front of a cluster's Jobs by the APIService v1.batch, and works on
the etcd that kube-apiserver keeps them in. To try it without a cluster, run
the standalone command.`,
		Example: `  # Beside kube-apiserver, on its etcd
  batchgate-apiserver --kubeconfig=/etc/batchgate/kubeconfig \
    --etcd-servers=https://127.0.0.1:2379 --etcd-cafile=ca.crt --etcd-certfile=client.crt --etcd-keyfile=client.key \
    --tls-cert-file=serving.crt --tls-private-key-file=serving.key

  # Without a cluster
  batchgate-apiserver standalone --directory=/var/lib/batchgate`,
		SilenceUsage: true,
		Args:         cobra.NoArgs,
		PersistentPreRun: func(*cobra.Command, []string) {
			// Warnings are for the clients of this server, not for its log.
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

// addFlags gives cmd the flags and, in its help, their headings.
func addFlags(cmd *cobra.Command, fss flag.NamedFlagSets) {
	fss.FlagSet("global").Bool("version", false, "Print the version and quit.")
	globalflag.AddGlobalFlags(fss.FlagSet("global"), cmd.Name(), logs.SkipLoggingConfigurationFlags())
	for _, fs := range fss.FlagSets {
		cmd.Flags().AddFlagSet(fs)
	}
	cmd.Version = version.Get().GitVersion
	columns, _, _ := term.TerminalSize(cmd.OutOrStdout())
	flag.SetUsageAndHelpFunc(cmd, fss, columns)
}

func runCluster(ctx context.Context, o *options.Options, cmd *cobra.Command) error {
	if err := prepare(o, o.ValidateCluster); err != nil {
		return err
	}
	flag.PrintFlags(cmd.Flags())
	return run(ctx, o, o.ClusterConfig, nil)
}

// prepare sets the feature gates, checks all flags before any other is applied, and applies
// those of logging. Its error names everything that is wrong.
func prepare(o *options.Options, validate func() error) error {
	errs := []error{o.ServerRun.ComponentGlobalsRegistry.Set(), o.Complete(), validate()}
	if err := utilerrors.NewAggregate(errs); err != nil {
		return utilerrors.Flatten(err)
	}
	return logsapi.ValidateAndApply(o.Logs, utilfeature.DefaultFeatureGate)
}

// run serves until ctx is done, then shuts down in order: requests first, etcd last.
// It calls ready, unless nil, once the server is ready for requests.
func run(ctx context.Context, o *options.Options, newConfig func() (*apiserver.Config, error), ready func()) error {
	klog.FromContext(ctx).Info("Starting batchgate-apiserver", "version", version.Get().GitVersion)
	limitMemory()
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
		return err
	}
	if ready != nil {
		if err := whenReady(server, ready); err != nil {
			return err
		}
	}
	if err := server.PrepareRun().RunWithContext(ctx); err != nil {
		return fmt.Errorf("serving: %w", err)
	}
	return nil
}
