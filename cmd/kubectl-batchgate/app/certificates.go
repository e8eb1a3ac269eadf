package app

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/batchgate/batchgate/pkg/certificates"
	"github.com/batchgate/batchgate/pkg/takeover"
)

func newCertificatesCommand(s *settings) *cobra.Command {
	c := &certificates.Certificates{RenewBefore: 60 * 24 * time.Hour}
	cmd := &cobra.Command{
		Use:   "certificates",
		Short: "Make and renew Batchgate's certificates, where cert-manager does not",
		Long: `Makes a CA, for ten years, and a serving certificate, for one, and keeps them in the
Secrets batchgate-ca and batchgate-serving; puts the CA into the APIServices that
name Batchgate's Service; and renews what expires soon. Where there is nothing to
do it does nothing, so run it as often as you like, at least once a month.
Batchgate notices a renewed certificate when the Secret reaches its Pods.

With --rotate-ca it makes a new CA beside the old one. Run it again, without
that flag, to drop the old one: it does so once all replicas show a certificate
by the new CA.

With --etcd it makes a CA, member and client certificates for an etcd of
Batchgate's own too, in the Secrets batchgate-etcd-ca, batchgate-etcd-member and
batchgate-etcd-client, and renews them from then on without that flag too. This
CA is not rotated by --rotate-ca.

It writes no Secret that it did not make.`,
		Example: `  # After the installation, before the takeover
  kubectl batchgate certificates
  # See what would be renewed
  kubectl batchgate certificates --dry-run
  # Replace the CA
  kubectl batchgate certificates --rotate-ca
  kubectl batchgate certificates`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cluster, err := s.cluster()
			if err != nil {
				return err
			}
			c.Cluster, c.Service, c.DryRun = cluster, s.service, s.dryRun
			c.CheckReplicas = func(ctx context.Context, caBundle []byte) (int, error) {
				if s.server == "" {
					return cluster.CheckReplicas(ctx, s.service, caBundle)
				}
				_, err := cluster.Connect(ctx, s.server, s.service, caBundle)
				return 1, err
			}
			return s.run(func(report func(takeover.Result)) error {
				c.Report = report
				return c.Run(cmd.Context())
			})
		},
	}
	cmd.Flags().DurationVar(&c.RenewBefore, "renew-before", c.RenewBefore, "How long a certificate must last at least. One that does not is renewed.")
	cmd.Flags().BoolVar(&c.RotateCA, "rotate-ca", c.RotateCA, "Make a new CA of the serving certificate beside the old one.")
	cmd.Flags().BoolVar(&c.Etcd, "etcd", c.Etcd, "Make the certificates of an etcd of Batchgate's own too.")
	s.addDryRun(cmd)
	return cmd
}
