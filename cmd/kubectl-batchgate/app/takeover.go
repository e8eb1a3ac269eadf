// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/batchgate/batchgate/pkg/plugin/steps"
	"github.com/batchgate/batchgate/pkg/plugin/takeover"
)

func newTakeoverCommand(s *settings) *cobra.Command {
	flags := takeoverFlags{timeout: takeover.DefaultTimeout}
	cmd := &cobra.Command{
		Use:   "takeover",
		Short: "Point batch/v1 to Batchgate",
		Long: `Checks that Batchgate serves the same API as kube-apiserver from the same etcd,
points the APIService v1.batch to Batchgate with a single update, and verifies the
result through kube-apiserver. It rolls back automatically if verification fails.

The CA is the one that signed Batchgate's serving certificate. You can omit it if
the APIService of the policies, v1.batch itself, or the Secret batchgate-serving
has it.`,
		Example: `  # See what would be done
  kubectl batchgate takeover --ca-file=ca.crt --dry-run

  # Do it
  kubectl batchgate takeover --ca-file=ca.crt`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
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
				t := &takeover.Takeover{Cluster: c, Batchgate: connection.batchgate, Report: report, DryRun: s.dryRun, Timeout: flags.timeout}
				return t.Run(cmd.Context())
			})
		},
	}
	flags.add(cmd)
	s.addDryRun(cmd)
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
