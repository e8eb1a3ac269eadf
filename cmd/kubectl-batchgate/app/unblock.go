// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"github.com/spf13/cobra"

	"github.com/batchgate/batchgate/pkg/plugin/steps"
	"github.com/batchgate/batchgate/pkg/plugin/takeover"
)

func newUnblockCommand(s *settings) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "unblock",
		Short: "Let kube-apiserver start while Batchgate is down",
		Long: `Ends a deadlock after an orderly shutdown of the whole cluster: kube-apiserver does
not become ready before the APIService v1.batch is available, and Batchgate cannot
start before kube-apiserver is ready. kubectl batchgate status detects it.

The command sets the condition Available of v1.batch to True. kube-apiserver then
becomes ready and sets the condition to False again, until Batchgate responds.
v1.batch still points to Batchgate, so requests for Jobs fail with 503 until then,
and no update gets around Batchgate.

The command does not connect to Batchgate. It fails if v1.batch does not point to
Batchgate or is available. A load balancer may not forward requests to a
kube-apiserver that is not ready; then set --server to the address of one, such as
https://10.0.0.1:6443. One call is enough for all kube-apiservers of a cluster.

You need the permissions to get the APIService v1.batch and to patch its status.`,
		Example: `  # On a control plane node
  kubectl batchgate unblock --kubeconfig=/etc/kubernetes/admin.conf`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.cluster()
			if err != nil {
				return err
			}
			return s.report(func(report steps.Reporter) error {
				u := &takeover.Unblock{Cluster: c, Service: s.service, Report: report, DryRun: s.dryRun}
				return u.Run(cmd.Context())
			})
		},
	}
	s.addDryRun(cmd)
	return cmd
}
