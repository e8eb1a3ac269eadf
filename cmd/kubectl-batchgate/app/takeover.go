// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"errors"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/plugin/steps"
	"github.com/batchgate/batchgate/pkg/plugin/takeover"
)

func newTakeoverCommand(s *settings) *cobra.Command {
	flags, canaryNamespace := takeoverFlags{timeout: takeover.DefaultTimeout}, metav1.NamespaceDefault
	exclusive, restartTimeout := false, takeover.DefaultRestartTimeout
	cmd := &cobra.Command{
		Use:   "takeover",
		Short: "Point batch/v1 to Batchgate",
		Long: `Checks that Batchgate serves the same API as kube-apiserver from the same etcd,
points the APIService v1.batch to Batchgate with a single update, and verifies the
result through kube-apiserver. It rolls back automatically if verification fails.

Every kube-apiserver that can be found must serve Jobs through Batchgate for 10
seconds: those behind new connections to the server of the kubeconfig, and the
endpoints of the Service default/kubernetes, if they can be reached from here.

The checks create a suspended Job and a suspended CronJob through each server, read
and change them through the other server, and delete them. This detects another
etcd, --etcd-prefix or encryption configuration, even in a cluster without Jobs.
--dry-run does this, too.

The CA is the one that signed Batchgate's serving certificate. You can omit it if
the APIService of the policies, v1.batch itself, or the Secret batchgate-serving
has it.

With --exclusive, no kube-apiserver serves Jobs itself, not even while it starts.
The command takes over, and then waits while you restart every kube-apiserver, one
by one, with --runtime-config=batch/v1=false. It prints which ones have the flag.
If you need longer than --restart-timeout, run the command again: the takeover stays.
To go back, restart them without it, and run kubectl batchgate rollback.`,
		Example: `  # See what would be done
  kubectl batchgate takeover --ca-file=ca.crt --dry-run

  # Do it
  kubectl batchgate takeover --ca-file=ca.crt`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if restartTimeout <= 0 {
				return nothingChanged{errors.New("--restart-timeout must be positive")}
			}
			c, err := s.cluster()
			if err != nil {
				return err
			}
			connection := s.connection(c)
			defer connection.close()
			if err := connection.readCA(cmd.Context(), flags.caFile); err != nil {
				return err
			}
			return s.report(func(report steps.Reporter) error {
				t := &takeover.Takeover{
					Cluster: c, Batchgate: connection.batchgate, Report: report, DryRun: s.dryRun, Timeout: flags.timeout, CanaryNamespace: canaryNamespace,
					Exclusive: exclusive, RestartTimeout: restartTimeout, Progress: s.progress,
				}
				return t.Run(cmd.Context())
			})
		},
	}
	flags.add(cmd)
	cmd.Flags().StringVar(&canaryNamespace, "canary-namespace", canaryNamespace, "Namespace of the suspended Job and CronJob that the checks create and delete.")
	cmd.Flags().BoolVar(&exclusive, "exclusive", exclusive, "Wait until you have restarted every kube-apiserver with --runtime-config=batch/v1=false.")
	cmd.Flags().DurationVar(&restartTimeout, "restart-timeout", restartTimeout, "How long --exclusive waits for the restarts. Must be positive.")
	cmd.Flags().BoolVar(&s.dryRun, "dry-run", s.dryRun, "Check and report what would be done. The only objects that change are those that the checks create and delete.")
	return cmd
}

// takeoverFlags are the flags of commands that point v1.batch to Batchgate.
type takeoverFlags struct {
	caFile  string
	timeout time.Duration
}

func (f *takeoverFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.caFile, "ca-file", f.caFile, "File with the CA of Batchgate's serving certificate, in PEM.")
	cmd.Flags().DurationVar(&f.timeout, "timeout", f.timeout, "How long kube-apiserver may take to consider Batchgate available before the command rolls back.")
}
