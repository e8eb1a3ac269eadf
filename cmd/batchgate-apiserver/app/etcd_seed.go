// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli/flag"

	"github.com/batchgate/batchgate/pkg/embeddedetcd"
)

// defaultFirstRevision is higher than the revision of an etcd after 30 years with 1,000 writes per
// second.
const defaultFirstRevision = 1_000_000_000_000

// newEtcdSeedCommand returns the command that prepares the data directory of a new etcd member.
func newEtcdSeedCommand() *cobra.Command {
	seed := embeddedetcd.Seed{Revision: defaultFirstRevision}
	cmd := &cobra.Command{
		Use:   "etcd-seed",
		Short: "Prepare the data directory of a new etcd member with a high first revision",
		Long: `Prepares the data directory of a new member of a dedicated etcd, which stores Jobs
and CronJobs instead of the cluster's etcd. Run it before etcd, as an init
container, with the same values as etcd's flags. It does nothing if the
directory contains data.

The first revision must be higher than all revisions of the cluster's etcd. A
client that resumes a watch at a revision of the cluster's etcd then gets a "too
old resource version" error and lists again. With an etcd that starts at revision
1, the watch would silently wait for a revision that is years away.

Seed all members with the same initial cluster, token and revision, at the same
time. Each waits until all others have confirmed at their peer URLs that they
have no data, so a member that does not answer is never replaced. It fails if
one has data that comes from somewhere else, for example from a snapshot.

If a member has lost its data and the others run, the command fails until you
have removed the member and added it again with etcdctl. After that, it does
nothing: etcd gets the data from the other members if it starts with
--initial-cluster-state=existing.`,
		Example: `  batchgate-apiserver etcd-seed --data-dir=/var/lib/etcd/data --name=a --listen-peer-urls=https://0.0.0.0:2380 \
    --initial-advertise-peer-urls=https://a:2380 --initial-cluster=a=https://a:2380,b=https://b:2380,c=https://c:2380 \
    --peer-trusted-ca-file=ca.crt --peer-cert-file=tls.crt --peer-key-file=tls.key`,
		SilenceUsage: true,
		Args:         cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if seed.DataDir == "" || seed.Name == "" || len(seed.PeerURLs) == 0 || seed.InitialCluster == "" {
				return errors.New("--data-dir, --name, --initial-advertise-peer-urls and --initial-cluster are required: set them to the values of etcd's flags")
			}
			if _, err := seed.CreateDataDir(cmd.Context()); err != nil {
				return fmt.Errorf("preparing %s: %w", seed.DataDir, err)
			}
			return nil
		},
	}
	var fss flag.NamedFlagSets
	fs := fss.FlagSet("etcd seed")
	fs.StringVar(&seed.DataDir, "data-dir", seed.DataDir, "Data directory of etcd, whose parent directory must be writable. Required.")
	fs.StringVar(&seed.Name, "name", seed.Name, "Name of the member. Required.")
	fs.StringSliceVar(&seed.PeerURLs, "initial-advertise-peer-urls", seed.PeerURLs, "Peer URLs of the member. Required.")
	fs.StringVar(&seed.InitialCluster, "initial-cluster", seed.InitialCluster, "Peer URLs of all members, as NAME=URL,NAME=URL. Required.")
	fs.StringVar(&seed.Token, "initial-cluster-token", "etcd-cluster", "Token that identifies the etcd cluster.")
	fs.Int64Var(&seed.Revision, "revision", seed.Revision, "First revision; etcd treats lower revisions as compacted.")
	fs.StringSliceVar(&seed.Members.ListenURLs, "listen-peer-urls", nil, "URLs to listen on for the other members. Required if there are others.")
	fs.StringVar(&seed.Members.TrustedCAFile, "peer-trusted-ca-file", "", "CA certificate file that verifies the other members.")
	fs.StringVar(&seed.Members.CertFile, "peer-cert-file", "", "Certificate file of the member, as a server and as a client.")
	fs.StringVar(&seed.Members.KeyFile, "peer-key-file", "", "Key file of the certificate.")
	addFlags(cmd, fss)
	return cmd
}
