// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/batchgate/batchgate/pkg/plugin/cluster"
	"github.com/batchgate/batchgate/pkg/plugin/takeover"
)

func newStatusCommand(s *settings) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show which server serves batch/v1 and whether Batchgate is healthy",
		Long: `Shows which server serves batch/v1 and whether Batchgate is healthy. The exit code
is 1 if anything needs attention: v1.batch is not available, or Batchgate serves it
and is not ready, has another minor version than the cluster, or has policies that
are not active.

If kube-apiserver is not ready because it waits for v1.batch, the command says so
and names kubectl batchgate unblock.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.cluster()
			if err != nil {
				return err
			}
			connection := s.connection(c)
			defer connection.close()
			connection.batchgate.Dial = func(ctx context.Context) (*cluster.Direct, error) {
				// Without a CA the response could come from another server.
				if connection.batchgate.CABundle, err = c.KnownCABundle(ctx, s.service); err != nil {
					return nil, err
				}
				return s.dial(ctx, connection)
			}
			status, err := takeover.ReadStatus(cmd.Context(), c, connection.batchgate)
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
	api := status.APIService
	server := api.Server()
	if status.NotNative && api.Service == nil {
		server = "no server"
	}
	line("batch/v1", "served by %s", server)
	line("Available", "%s (%s) %s", api.Available, api.Reason, api.Message)
	if status.Topology != "" {
		line("Jobs are in", "%s", status.Topology)
	}
	if status.Frozen {
		line("Writes", "FROZEN, while Jobs are moved")
	}
	line("Cluster", "%s", status.ClusterVersion)
	if status.Blocked {
		line("kube-apiserver", "BLOCKED, since it waits for v1.batch")
	}
	if b := status.Batchgate; b.Error != "" {
		line("Batchgate", "not reachable: %s", b.Error)
	} else {
		readiness := "NOT READY"
		if b.Ready {
			readiness = "ready"
		}
		line("Batchgate", "%s, %s", b.Version, readiness)
		line("Certificate", "expires at %s", b.CertificateExpires.Format("2006-01-02 15:04"))
		if b.Skew != "" {
			line("Skew", "%s", b.Skew)
		}
	}
	if status.Endpoints > 0 {
		line("Endpoints", "%d of %d ready", status.EndpointsReady, status.Endpoints)
	}
	switch {
	case status.PoliciesError != "":
		line("Policies", "unknown: %s", status.PoliciesError)
	case len(status.PoliciesNotReady) > 0:
		line("Policies", "%d, NOT READY: %s", status.Policies, strings.Join(status.PoliciesNotReady, ", "))
	default:
		line("Policies", "%d, all ready", status.Policies)
	}
}
