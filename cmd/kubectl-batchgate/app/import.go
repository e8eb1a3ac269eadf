package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/batchgate/batchgate/pkg/takeover"
)

func newImportCommand(s *settings) *cobra.Command {
	move := newMoveFlags()
	caFile, timeout, overwrite := "", time.Minute, false
	cmd := &cobra.Command{
		Use:   "import",
		Short: "Move Jobs to an etcd of Batchgate's own, and give batch/v1 to Batchgate",
		Long: `Moves all Jobs and CronJobs from the etcd of the cluster to one of Batchgate's
own, with their UIDs, status and timestamps, and gives Batchgate the APIService
v1.batch. It is for clusters whose etcd Batchgate cannot use; where it can, use
takeover, which moves nothing.

Meanwhile a ValidatingAdmissionPolicy refuses all writes of Jobs and CronJobs, on
both servers. If anything fails, kube-apiserver serves as before. Pods go on
running all the time.

A watch that a controller still holds on kube-apiserver sees nothing of what is
new until it ends, which may take 10 minutes. A suspended Job shows when the Job
controller and the garbage collector have noticed, and is deleted again.`,
		Example: `  # See what would be done
  kubectl -n batchgate-system port-forward service/batchgate-etcd 2379 &
  kubectl batchgate import --dry-run --etcd-servers=https://localhost:2379 \
    --etcd-cafile=ca.crt --etcd-certfile=tls.crt --etcd-keyfile=tls.key`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cluster, err := s.cluster()
			if err != nil {
				return err
			}
			store, err := move.open(cmd.Context())
			if err != nil {
				return err
			}
			defer store.Close()
			connection, err := s.connection(cmd.Context(), cluster, caFile)
			if err != nil {
				return err
			}
			defer connection.close()
			return s.run(func(report func(takeover.Result)) error {
				i := &takeover.Import{
					Takeover: connection.takeover(report, timeout), Etcd: store, Overwrite: overwrite, Resume: move.resume,
					Controllers: move.controllers, Progress: s.progress,
				}
				return i.Run(cmd.Context())
			})
		},
	}
	move.add(cmd, "Batchgate")
	addTakeoverFlags(cmd, &caFile, &timeout)
	cmd.Flags().BoolVar(&overwrite, "overwrite", overwrite, "Replace Jobs and CronJobs that the etcd has from an earlier time, and lose them.")
	s.addDryRun(cmd)
	return cmd
}

// moveFlags are those of commands that move Jobs between etcds.
type moveFlags struct {
	etcd        takeover.StoreOptions
	controllers takeover.Controllers
	resume      bool
}

func newMoveFlags() *moveFlags {
	return &moveFlags{
		etcd:        takeover.StoreOptions{Prefix: "/registry"},
		controllers: takeover.Controllers{Namespace: "default", Timeout: 15 * time.Minute},
	}
}

func (m *moveFlags) add(cmd *cobra.Command, server string) {
	flags := cmd.Flags()
	flags.StringSliceVar(&m.etcd.Servers, "etcd-servers", nil, "URLs at which the etcd of "+server+" is reached from here, separated by commas.")
	flags.StringVar(&m.etcd.CAFile, "etcd-cafile", "", "File with the CA of etcd, in PEM.")
	flags.StringVar(&m.etcd.CertFile, "etcd-certfile", "", "File with a client certificate for etcd.")
	flags.StringVar(&m.etcd.KeyFile, "etcd-keyfile", "", "File with the key of the client certificate.")
	flags.StringVar(&m.etcd.Prefix, "etcd-prefix", m.etcd.Prefix, "The --etcd-prefix of "+server+".")
	flags.BoolVar(&m.resume, "resume", m.resume, "Go on where an import or a rollback was killed and has left writes refused. Give it only if none is at work.")
	flags.StringVar(&m.controllers.Namespace, "canary-namespace", m.controllers.Namespace, "Namespace of the suspended Job that shows whether controllers see new Jobs.")
	flags.DurationVar(&m.controllers.Timeout, "wait-for-controllers", m.controllers.Timeout, "How long controllers may take to see a new Job. 0 does not look.")
}

func (m *moveFlags) open(ctx context.Context) (*takeover.Store, error) {
	if len(m.etcd.Servers) == 0 {
		return nil, fmt.Errorf("%w: %w", errors.New("--etcd-servers is required: name the etcd that Batchgate uses"), takeover.ErrRefused)
	}
	store, err := takeover.OpenStore(ctx, m.etcd)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, takeover.ErrRefused)
	}
	return store, nil
}

// progress tells people what takes long.
func (s *settings) progress(text string) { fmt.Fprintln(s.streams.ErrOut, text) }
