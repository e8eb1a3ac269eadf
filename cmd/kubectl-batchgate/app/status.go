package app

import (
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
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cluster, err := s.cluster()
			if err != nil {
				return err
			}
			connection := &connection{settings: s, cluster: cluster}
			defer connection.close()
			// Without a CA Batchgate is not asked directly: what it says would prove nothing.
			connection.ca, _ = cluster.KnownCABundle(cmd.Context(), s.service)
			status, err := cluster.Status(cmd.Context(), s.service, connection.open)
			if err != nil {
				return err
			}
			if s.output != "" {
				return s.print(status)
			}
			printStatus(s.streams.Out, status)
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
	line("Endpoints", "%d ready of %d", status.EndpointsReady, status.Endpoints)
	switch {
	case status.PoliciesError != "":
		line("Policies", "not read: %s", status.PoliciesError)
	case len(status.PoliciesNotReady) > 0:
		line("Policies", "%d, NOT READY: %s", status.Policies, strings.Join(status.PoliciesNotReady, ", "))
	default:
		line("Policies", "%d, all ready", status.Policies)
	}
}
