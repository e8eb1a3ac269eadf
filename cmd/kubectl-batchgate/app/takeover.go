package app

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/batchgate/batchgate/pkg/takeover"
)

func newTakeoverCommand(s *settings) *cobra.Command {
	caFile, timeout := "", time.Minute
	cmd := &cobra.Command{
		Use:   "takeover",
		Short: "Give batch/v1 to Batchgate",
		Long: `Checks that Batchgate serves what kube-apiserver does, from the same etcd, gives
it the APIService v1.batch by one update, and checks again through kube-apiserver.
If that fails, batch/v1 is given back at once.

The CA is that of Batchgate's serving certificate. It may be left out where the
policies' APIService, v1.batch itself, or the Secret batchgate-serving has it.`,
		Example: `  # See what would be done
  kubectl batchgate takeover --ca-file=ca.crt --dry-run

  # Do it
  kubectl batchgate takeover --ca-file=ca.crt`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cluster, err := s.cluster()
			if err != nil {
				return err
			}
			var ca []byte
			if caFile != "" {
				if ca, err = os.ReadFile(caFile); err != nil {
					return fmt.Errorf("reading --ca-file: %w: %w", err, takeover.ErrRefused)
				}
			} else if ca, err = cluster.KnownCABundle(cmd.Context(), s.service); err != nil {
				return fmt.Errorf("%w: %w", err, takeover.ErrRefused)
			}
			connection := &connection{settings: s, cluster: cluster, ca: ca}
			defer connection.close()
			return s.run(func(report func(takeover.Result)) error {
				t := &takeover.Takeover{
					Cluster: cluster, Service: s.service, CABundle: ca, Connect: connection.open,
					Report: report, DryRun: s.dryRun, Timeout: timeout,
				}
				return t.Run(cmd.Context())
			})
		},
	}
	cmd.Flags().StringVar(&caFile, "ca-file", caFile, "File with the CA of Batchgate's serving certificate, in PEM.")
	cmd.Flags().DurationVar(&timeout, "timeout", timeout, "How long kube-apiserver may take to find Batchgate available before the takeover is rolled back.")
	s.addDryRun(cmd)
	return cmd
}

func newRollbackCommand(s *settings) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rollback",
		Short: "Give batch/v1 back to kube-apiserver",
		Long: `Gives the APIService v1.batch back to kube-apiserver, and waits until that serves
Jobs. It works whether Batchgate runs or not, and does nothing where there is
nothing to do.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cluster, err := s.cluster()
			if err != nil {
				return err
			}
			return s.run(func(report func(takeover.Result)) error {
				r := &takeover.Rollback{Cluster: cluster, Report: report, DryRun: s.dryRun}
				return r.Run(cmd.Context())
			})
		},
	}
	s.addDryRun(cmd)
	return cmd
}

func (s *settings) addDryRun(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&s.dryRun, "dry-run", s.dryRun, "Check and say what would be done, and change nothing.")
}

// connection is that to Batchgate past kube-apiserver.
type connection struct {
	*settings
	cluster *takeover.Cluster
	ca      []byte
	forward *takeover.Forward
}

func (c *connection) open(ctx context.Context) (*takeover.Direct, error) {
	address := c.server
	if address == "" {
		forward, err := c.cluster.ForwardPort(ctx, c.service)
		if err != nil {
			return nil, fmt.Errorf("%w; name the address with --batchgate-server where Batchgate does not run in a Pod", err)
		}
		c.forward = forward
		address = forward.Address
	}
	return c.cluster.Connect(ctx, address, c.service, c.ca)
}

func (c *connection) close() {
	if c.forward != nil {
		c.forward.Close()
	}
}
