// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"github.com/spf13/cobra"

	"github.com/batchgate/batchgate/pkg/plugin/migration"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
)

func newRollbackCommand(s *settings) *cobra.Command {
	move := newMoveFlags()
	cmd := &cobra.Command{
		Use:   "rollback",
		Short: "Point batch/v1 back to kube-apiserver",
		Long: `Points the APIService v1.batch back to kube-apiserver and waits until it serves
Jobs. It works whether Batchgate runs or not, and succeeds if there is nothing to
do. It fails while a kube-apiserver runs with --runtime-config=batch/v1=false.

If Jobs were imported to a dedicated etcd, kube-apiserver only has outdated ones.
Then the command fails unless you set --etcd-servers to the cluster's etcd. With
that flag it moves the Jobs back, for which Batchgate must run, and you must restart
all controllers that watch Jobs.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.cluster()
			if err != nil {
				return err
			}
			r := &migration.Rollback{Cluster: c, DryRun: s.dryRun, Resume: move.resume, Unencrypted: move.unencrypted, Controllers: move.controllers, Progress: s.progress}
			if len(move.etcd.Servers) > 0 {
				if r.Etcd, err = move.open(cmd.Context()); err != nil {
					return err
				}
				defer r.Etcd.Close()
				connection := s.connection(c)
				defer connection.close()
				r.Batchgate = connection.batchgate
			}
			return s.report(func(report steps.Reporter) error {
				r.Report = report
				return r.Run(cmd.Context())
			})
		},
	}
	move.add(cmd, "kube-apiserver")
	s.addDryRun(cmd)
	return cmd
}
