// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/plugin/migration"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
	"github.com/batchgate/batchgate/pkg/plugin/takeover"
)

func newImportCommand(s *settings) *cobra.Command {
	move, flags, overwrite := newMoveFlags(), takeoverFlags{timeout: takeover.DefaultTimeout}, false
	cmd := &cobra.Command{
		Use:   "import",
		Short: "Move Jobs to a dedicated etcd, and point batch/v1 to Batchgate",
		Long: `Moves all Jobs and CronJobs from the cluster's etcd to Batchgate's dedicated etcd,
with their UIDs, status and timestamps, and points the APIService v1.batch to
Batchgate. It is for clusters whose etcd Batchgate cannot use. Otherwise use
takeover, which moves nothing.

During the move a ValidatingAdmissionPolicy denies all writes of Jobs and CronJobs
on both servers. Pods keep running. If anything fails before Batchgate serves the
Jobs, the command undoes everything, and kube-apiserver serves as before.

To move the Jobs back later, you need access to the cluster's etcd. On a managed
cluster there is no way back.

A watch that a controller holds on kube-apiserver reports nothing new until it
ends, which may take 10 minutes. The command creates a suspended Job to detect
when the Job controller and the garbage collector see new Jobs, and deletes it.`,
		Example: `  # See what would be done
  kubectl -n batchgate-system port-forward service/batchgate-etcd 2379 &
  kubectl batchgate import --dry-run --etcd-servers=https://localhost:2379 \
    --etcd-cafile=ca.crt --etcd-certfile=tls.crt --etcd-keyfile=tls.key`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.cluster()
			if err != nil {
				return err
			}
			store, err := move.open(cmd.Context())
			if err != nil {
				return err
			}
			defer store.Close()
			connection := s.connection(c)
			defer connection.close()
			if err := connection.readCA(cmd.Context(), flags.caFile); err != nil {
				return err
			}
			return s.report(func(report steps.Reporter) error {
				i := &migration.Import{
					Cluster: c, Batchgate: connection.batchgate, Report: report, DryRun: s.dryRun, Timeout: flags.timeout,
					Etcd: store, Overwrite: overwrite, Resume: move.resume, Unencrypted: move.unencrypted, Controllers: move.controllers, Progress: s.progress,
				}
				return i.Run(cmd.Context())
			})
		},
	}
	move.add(cmd, "Batchgate")
	flags.add(cmd)
	cmd.Flags().BoolVar(&overwrite, "overwrite", overwrite, "Replace Jobs and CronJobs that the dedicated etcd already has. The replaced ones are lost.")
	s.addDryRun(cmd)
	return cmd
}

// moveFlags are the flags of commands that move Jobs between etcds.
type moveFlags struct {
	etcd        migration.StoreOptions
	controllers migration.Controllers
	resume      bool
	unencrypted bool
}

func newMoveFlags() *moveFlags {
	return &moveFlags{
		etcd:        migration.StoreOptions{Prefix: policy.DefaultEtcdPrefix},
		controllers: migration.Controllers{Namespace: metav1.NamespaceDefault, Timeout: 15 * time.Minute},
	}
}

// add adds the flags. server is the server that uses the etcd, for the help text.
func (m *moveFlags) add(cmd *cobra.Command, server string) {
	flags := cmd.Flags()
	flags.StringSliceVar(&m.etcd.Servers, "etcd-servers", nil, "URLs of the etcd that "+server+" uses, reachable from here, separated by commas.")
	flags.StringVar(&m.etcd.CAFile, "etcd-cafile", "", "File with the CA of etcd, in PEM.")
	flags.StringVar(&m.etcd.CertFile, "etcd-certfile", "", "File with a client certificate for etcd.")
	flags.StringVar(&m.etcd.KeyFile, "etcd-keyfile", "", "File with the key of the client certificate.")
	flags.StringVar(&m.etcd.Prefix, "etcd-prefix", m.etcd.Prefix, "The --etcd-prefix of "+server+".")
	flags.BoolVar(&m.resume, "resume", m.resume, "Continue after an import or a rollback that was killed and left writes frozen. Use it only if none is running.")
	flags.BoolVar(&m.unencrypted, "unencrypted", m.unencrypted, "Store Jobs and CronJobs unencrypted, even if kube-apiserver or Batchgate encrypts them at rest.")
	flags.StringVar(&m.controllers.Namespace, "canary-namespace", m.controllers.Namespace, "Namespace of the suspended Jobs that the command creates and deletes, to see how the servers store Jobs and whether the controllers see new ones.")
	flags.DurationVar(&m.controllers.Timeout, "wait-for-controllers", m.controllers.Timeout, "How long controllers may take to see a new Job. 0 skips the check.")
}

func (m *moveFlags) open(ctx context.Context) (*migration.Store, error) {
	if len(m.etcd.Servers) == 0 {
		return nil, fmt.Errorf("%w: %w", errors.New("--etcd-servers is required: set it to the etcd that Batchgate uses"), steps.ErrNothingChanged)
	}
	store, err := migration.OpenStore(ctx, m.etcd)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, steps.ErrNothingChanged)
	}
	return store, nil
}
