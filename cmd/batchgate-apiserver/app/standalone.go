// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"errors"
	"net"
	"path/filepath"

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli/flag"
	logsapi "k8s.io/component-base/logs/api/v1"

	"github.com/batchgate/batchgate/pkg/apiserver"
	"github.com/batchgate/batchgate/pkg/apiserver/options"
	"github.com/batchgate/batchgate/pkg/standalone"
)

// newStandaloneCommand returns the command that serves without a cluster. It has only the flags
// that are useful there. All other options keep their defaults.
func newStandaloneCommand() *cobra.Command {
	o := options.New()
	directory := ""
	var hostNames []string
	cmd := &cobra.Command{
		Use:   "standalone",
		Short: "Serve batch/v1 on this machine, without a cluster",
		Long: `Serves batch/v1 without a cluster, with an embedded etcd and certificates that it
creates. It keeps all data in one directory. If you start it again with the same
directory, it serves the same Jobs.

The server stores Jobs and gates their updates, but runs no Pods: there are no
controllers and no admission plugins. It has no objects of the kind Namespace, so
you can use any namespace. The only user is the admin in
DIRECTORY/admin.kubeconfig. Keep the directory secret: this file and the CA's
key give full access to the server.`,
		Example: `  batchgate-apiserver standalone --directory=$HOME/batchgate
  kubectl --kubeconfig=$HOME/batchgate/admin.kubeconfig get jobs`,
		SilenceUsage: true,
		Args:         cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runStandalone(cmd, o, directory, hostNames)
		},
	}
	o.SecureServing.BindAddress = net.IPv4(127, 0, 0, 1)

	var fss flag.NamedFlagSets
	fs := fss.FlagSet("standalone")
	fs.StringVar(&directory, "directory", directory, "Directory for the data of etcd, the certificates and admin.kubeconfig, created if it does not exist. Required.")
	fs.IPVar(&o.SecureServing.BindAddress, "bind-address", o.SecureServing.BindAddress, "Address to listen on.")
	fs.StringSliceVar(&hostNames, "host-names", hostNames, "DNS names to add to the serving certificate.")
	fs.IntVar(&o.SecureServing.BindPort, "secure-port", o.SecureServing.BindPort, "Port to listen on for HTTPS.")
	fs.BoolVar(&o.ServeSelfLink, "serve-self-link", o.ServeSelfLink, "Set metadata.selfLink in responses that contain a single Job.")
	logsapi.AddFlags(o.Logs, fss.FlagSet("logs"))
	addFlags(cmd, fss)
	return cmd
}

func runStandalone(cmd *cobra.Command, o *options.Options, directory string, hostNames []string) error {
	if directory == "" {
		return errors.New("--directory is required: name a directory for the data of the server")
	}
	directory, err := filepath.Abs(directory)
	if err != nil {
		return err
	}
	files := standalone.FilesIn(directory)
	o.EmbeddedEtcd.Directory = filepath.Join(directory, "etcd")
	o.SecureServing.ServerCert.CertKey.CertFile = files.ServingCert
	o.SecureServing.ServerCert.CertKey.KeyFile = files.ServingKey
	o.Authentication.ClientCert.ClientCA = files.CA
	if err := completeAndValidate(o, o.Validate); err != nil {
		return err
	}
	// End watches at shutdown. Otherwise the server would wait up to a minute for them.
	o.ServerRun.ShutdownSendRetryAfter = true
	newConfig := func() (*apiserver.Config, error) {
		// etcd is running and has locked its directory, so no other server uses these files.
		if _, err := standalone.Prepare(directory, o.SecureServing.BindAddress, o.SecureServing.BindPort, hostNames...); err != nil {
			return nil, err
		}
		return o.StandaloneConfig()
	}
	return run(cmd.Context(), o, newConfig, func() {
		printBanner(cmd.OutOrStdout(), standalone.ClientURL(o.SecureServing.BindAddress, o.SecureServing.BindPort), files.Kubeconfig)
	})
}
