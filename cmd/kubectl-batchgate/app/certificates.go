// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/batchgate/batchgate/pkg/plugin/certs"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
)

func newCertificatesCommand(s *settings) *cobra.Command {
	certificates := &certs.Certificates{RenewBefore: 60 * 24 * time.Hour}
	cmd := &cobra.Command{
		Use:   "certificates",
		Short: "Create and renew Batchgate's certificates, if cert-manager does not",
		Long: `Creates a CA that is valid for ten years and a serving certificate that is valid
for one, and keeps them in the Secrets batchgate-ca and batchgate-serving. Adds the
CA to the APIServices that refer to Batchgate's Service, and renews what expires
soon. It does nothing if nothing is due. Run it at least once a month; more often
is harmless. Batchgate loads a renewed certificate when the Secret reaches its
Pods.

With --rotate-ca it creates a new CA next to the old one. Run it again, without
that flag, to drop the old one: it does so once all replicas serve a certificate
of the new CA.

With --etcd it also creates a CA and the member and client certificates of a
dedicated etcd, in the Secrets batchgate-etcd-ca, batchgate-etcd-member and
batchgate-etcd-client. Later runs renew them even without that flag. --rotate-ca
does not rotate this CA.

It only writes Secrets with the label app.kubernetes.io/managed-by=kubectl-batchgate.`,
		Example: `  # After the installation, before the takeover
  kubectl batchgate certificates
  # See what would be renewed
  kubectl batchgate certificates --dry-run
  # Replace the CA
  kubectl batchgate certificates --rotate-ca
  kubectl batchgate certificates`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.cluster()
			if err != nil {
				return err
			}
			certificates.Cluster, certificates.Service, certificates.DryRun = c, s.service, s.dryRun
			certificates.CheckReplicas = func(ctx context.Context, caBundle []byte) (int, error) {
				return s.checkReplicas(ctx, s, c, caBundle)
			}
			return s.report(func(report steps.Reporter) error {
				certificates.Report = report
				return certificates.Run(cmd.Context())
			})
		},
	}
	cmd.Flags().DurationVar(&certificates.RenewBefore, "renew-before", certificates.RenewBefore, "Renew certificates whose remaining validity is shorter than this.")
	cmd.Flags().BoolVar(&certificates.RotateCA, "rotate-ca", certificates.RotateCA, "Create a new CA for the serving certificate next to the old one.")
	cmd.Flags().BoolVar(&certificates.Etcd, "etcd", certificates.Etcd, "Also create the certificates of a dedicated etcd.")
	s.addDryRun(cmd)
	return cmd
}
