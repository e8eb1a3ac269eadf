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
			connection, err := s.connection(cmd.Context(), cluster, caFile)
			if err != nil {
				return err
			}
			defer connection.close()
			return s.run(func(report func(takeover.Result)) error {
				t := connection.takeover(report, timeout)
				return t.Run(cmd.Context())
			})
		},
	}
	addTakeoverFlags(cmd, &caFile, &timeout)
	s.addDryRun(cmd)
	return cmd
}

func addTakeoverFlags(cmd *cobra.Command, caFile *string, timeout *time.Duration) {
	cmd.Flags().StringVar(caFile, "ca-file", *caFile, "File with the CA of Batchgate's serving certificate, in PEM.")
	cmd.Flags().DurationVar(timeout, "timeout", *timeout, "How long kube-apiserver may take to find Batchgate available before the takeover is rolled back.")
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

// connection returns one that is not open yet, with the CA of a file or the one that the cluster has.
func (s *settings) connection(ctx context.Context, cluster *takeover.Cluster, caFile string) (*connection, error) {
	c := &connection{settings: s, cluster: cluster}
	var err error
	if caFile != "" {
		if c.ca, err = os.ReadFile(caFile); err != nil {
			return nil, fmt.Errorf("reading --ca-file: %w: %w", err, takeover.ErrRefused)
		}
	} else if c.ca, err = cluster.KnownCABundle(ctx, s.service); err != nil {
		return nil, fmt.Errorf("%w: %w", err, takeover.ErrRefused)
	}
	return c, nil
}

// takeover returns one by this connection.
func (c *connection) takeover(report func(takeover.Result), timeout time.Duration) takeover.Takeover {
	return takeover.Takeover{
		Cluster: c.cluster, Service: c.service, CABundle: c.ca, Connect: c.open,
		Report: report, DryRun: c.dryRun, Timeout: timeout,
	}
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
