package app

import (
	"github.com/spf13/cobra"

	"github.com/batchgate/batchgate/pkg/takeover"
)

func newRollbackCommand(s *settings) *cobra.Command {
	move := newMoveFlags()
	cmd := &cobra.Command{
		Use:   "rollback",
		Short: "Give batch/v1 back to kube-apiserver",
		Long: `Gives the APIService v1.batch back to kube-apiserver, and waits until that serves
Jobs. It works whether Batchgate runs or not, and does nothing where there is
nothing to do.

Where Jobs were imported to an etcd of Batchgate's own it is refused, since
kube-apiserver has the Jobs of before, unless the cluster's etcd is given with
--etcd-servers: then they are moved back, and all controllers that watch Jobs
must be restarted.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cluster, err := s.cluster()
			if err != nil {
				return err
			}
			r := &takeover.Rollback{Cluster: cluster, DryRun: s.dryRun, Resume: move.resume}
			if len(move.etcd.Servers) > 0 {
				store, err := move.open(cmd.Context())
				if err != nil {
					return err
				}
				defer store.Close()
				r.Export = &takeover.Export{Etcd: store, Controllers: move.controllers, Progress: s.progress}
			}
			return s.run(func(report func(takeover.Result)) error {
				r.Report = report
				return r.Run(cmd.Context())
			})
		},
	}
	move.add(cmd, "kube-apiserver")
	s.addDryRun(cmd)
	return cmd
}
