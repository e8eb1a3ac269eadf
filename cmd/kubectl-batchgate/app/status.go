package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/batchgate/batchgate/pkg/takeover"
)

func newStatusCommand(s *settings) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show who serves batch/v1, and how Batchgate is",
		Long: `Shows who serves batch/v1, and how Batchgate is. It ends with 1 if something is
not as it should be: v1.batch is not available, or it is taken over and Batchgate
is not ready, of another minor version, or has policies that are not in force.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cluster, err := s.cluster()
			if err != nil {
				return err
			}
			connection := &connection{settings: s, cluster: cluster}
			defer connection.close()
			status, err := cluster.Status(cmd.Context(), s.service, func(ctx context.Context) (*takeover.Direct, error) {
				// Without a CA Batchgate is not asked: what it says would prove nothing.
				if connection.ca, err = cluster.KnownCABundle(ctx, s.service); err != nil {
					return nil, err
				}
				return connection.open(ctx)
			})
			if err != nil {
				return err
			}
			if s.output == "" {
				printStatus(s.streams.Out, status)
			} else if err := s.print(status); err != nil {
				return err
			}
			if problems := status.Problems(); len(problems) > 0 {
				return errors.New(strings.Join(problems, "; "))
			}
			return nil
		},
	}
}

func printStatus(w io.Writer, status *takeover.Status) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-20s %s\n", name+":", fmt.Sprintf(format, args...))
	}
	line("batch/v1", "served by %s", status.Serving.Server())
	line("Available", "%s (%s) %s", status.Serving.Available, status.Serving.Reason, status.Serving.Message)
	if status.Topology != "" {
		line("Jobs are in", "%s", status.Topology)
	}
	if status.Frozen {
		line("Writes", "REFUSED, while Jobs are moved")
	}
	line("Cluster", "%s", status.ClusterVersion)
	switch b := status.Batchgate; {
	case b.Error != "":
		line("Batchgate", "not reached: %s", b.Error)
	default:
		line("Batchgate", "%s%s", b.Version, map[bool]string{true: ", ready", false: ", NOT READY"}[b.Ready])
		line("Certificate", "expires at %s", b.CertificateExpires.Format("2006-01-02 15:04"))
		if b.Skew {
			line("Skew", "cluster and Batchgate are of different minor versions")
		}
	}
	if status.Endpoints > 0 {
		line("Endpoints", "%d ready of %d", status.EndpointsReady, status.Endpoints)
	}
	switch {
	case status.PoliciesError != "":
		line("Policies", "not read: %s", status.PoliciesError)
	case len(status.PoliciesNotReady) > 0:
		line("Policies", "%d, NOT READY: %s", status.Policies, strings.Join(status.PoliciesNotReady, ", "))
	default:
		line("Policies", "%d, all ready", status.Policies)
	}
}
