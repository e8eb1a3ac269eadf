package app

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli/flag"

	"github.com/batchgate/batchgate/pkg/embeddedetcd"
)

// defaultFirstRevision is above all that an etcd gets to in 30 years of 1000 writes a second.
const defaultFirstRevision = 1_000_000_000_000

// newEtcdSeedCommand returns the command that prepares the data of a member of an etcd.
func newEtcdSeedCommand() *cobra.Command {
	seed := embeddedetcd.Seed{Revision: defaultFirstRevision}
	cmd := &cobra.Command{
		Use:   "etcd-seed",
		Short: "Prepare the data directory of an etcd member, with a high first revision",
		Long: `Prepares the data directory of a new member of an etcd that holds Jobs and
CronJobs in place of the cluster's etcd. Run it before etcd, as an init
container, with the same values that etcd gets. It does nothing if the
directory has data.

The first revision must be above all that the cluster's etcd has ever handed
out. A client that resumes a watch at a revision of the other etcd is then told
that it is too old, and lists anew; in an etcd that counts from 1 it would wait,
without an error, for a revision that comes in years.

All members must be seeded with the same --initial-cluster, token and revision.
A member that has lost its data must not be seeded again. With --endpoints, the
members that run are asked about it, and this fails until it was removed and
added with etcdctl. Then nothing is done, for etcd gets the data from them, if
it is started with --initial-cluster-state=existing.`,
		Example: `  batchgate-apiserver etcd-seed --data-dir=/var/lib/etcd/data --name=a \
    --initial-advertise-peer-urls=https://a:2380 --initial-cluster=a=https://a:2380,b=https://b:2380,c=https://c:2380`,
		SilenceUsage: true,
		Args:         cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if seed.DataDir == "" || seed.Name == "" || len(seed.PeerURLs) == 0 || seed.InitialCluster == "" {
				return errors.New("--data-dir, --name, --initial-advertise-peer-urls and --initial-cluster are required: give the values of etcd's flags")
			}
			if _, err := seed.CreateDataDir(cmd.Context()); err != nil {
				return fmt.Errorf("preparing %s: %w", seed.DataDir, err)
			}
			return nil
		},
	}
	var fss flag.NamedFlagSets
	fs := fss.FlagSet("etcd seed")
	fs.StringVar(&seed.DataDir, "data-dir", seed.DataDir, "Data directory of etcd. Its parent must be writable. Required.")
	fs.StringVar(&seed.Name, "name", seed.Name, "Name of the member. Required.")
	fs.StringSliceVar(&seed.PeerURLs, "initial-advertise-peer-urls", seed.PeerURLs, "URLs at which the other members reach this one. Required.")
	fs.StringVar(&seed.InitialCluster, "initial-cluster", seed.InitialCluster, "All members, as in NAME=URL,NAME=URL. Required.")
	fs.StringVar(&seed.Token, "initial-cluster-token", "etcd-cluster", "Token that tells this cluster of etcd from others.")
	fs.Int64Var(&seed.Revision, "revision", seed.Revision, "First revision. Those below count as compacted.")
	fs.StringSliceVar(&seed.Members.Endpoints, "endpoints", nil, "URLs of all members, for clients, to ask those that run. At the first start nobody answers.")
	fs.StringVar(&seed.Members.TrustedCAFile, "cacert", "", "CA that the members are verified by.")
	fs.StringVar(&seed.Members.CertFile, "cert", "", "Client certificate for the members.")
	fs.StringVar(&seed.Members.KeyFile, "key", "", "Key of the client certificate.")
	addFlags(cmd, fss)
	return cmd
}
