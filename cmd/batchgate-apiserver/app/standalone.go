package app

import (
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/wait"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/client-go/kubernetes"
	"k8s.io/component-base/cli/flag"
	logsapi "k8s.io/component-base/logs/api/v1"

	"github.com/batchgate/batchgate/pkg/apiserver"
	"github.com/batchgate/batchgate/pkg/apiserver/options"
	"github.com/batchgate/batchgate/pkg/standalone"
)

// newStandaloneCommand returns the command that serves without a cluster. It shows the few
// flags that make sense there; the others keep their defaults.
func newStandaloneCommand() *cobra.Command {
	o := options.New()
	directory := ""
	var hostNames []string
	cmd := &cobra.Command{
		Use:   "standalone",
		Short: "Serve batch/v1 on this machine, without a cluster",
		Long: `Serves batch/v1 without a cluster: with an etcd of its own, and certificates that
it makes. Everything is kept in one directory, and a second start on that
directory finds the Jobs of the first.

There are no controllers, namespaces, users or admission here: Jobs are stored
and their updates gated, and no Pod runs. Use the kubeconfig that it writes to
DIRECTORY/admin.kubeconfig; keep the directory to yourself, since that file and
the CA's key in it give all rights on the server.`,
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
	fs.StringVar(&directory, "directory", directory, "Directory for all that must last: etcd, certificates, admin.kubeconfig. Made where it is missing. Required.")
	fs.IPVar(&o.SecureServing.BindAddress, "bind-address", o.SecureServing.BindAddress, "Address to listen on.")
	fs.StringSliceVar(&hostNames, "host-names", hostNames, "DNS names of this server, beside localhost, for its certificate.")
	fs.IntVar(&o.SecureServing.BindPort, "secure-port", o.SecureServing.BindPort, "Port to serve HTTPS on.")
	fs.BoolVar(&o.ServeSelfLink, "serve-self-link", o.ServeSelfLink, "Fill metadata.selfLink in answers about a single Job. Lists and watches never carry it.")
	logsapi.AddFlags(o.Logs, fss.FlagSet("logs"))
	addFlags(cmd, fss)
	return cmd
}

func runStandalone(cmd *cobra.Command, o *options.Options, directory string, hostNames []string) error {
	if directory == "" {
		return fmt.Errorf("--directory is required: name a directory that this server may keep its data in")
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
	if err := prepare(o, o.Validate); err != nil {
		return err
	}
	// A client that watches is told to come again; waiting for it would take a minute.
	o.ServerRun.ShutdownSendRetryAfter = true
	newConfig := func() (*apiserver.Config, error) {
		// Only now, with etcd running, is the directory known to be no other server's.
		if _, err := standalone.Prepare(directory, o.SecureServing.BindAddress, o.SecureServing.BindPort, hostNames...); err != nil {
			return nil, err
		}
		return o.StandaloneConfig()
	}
	return run(cmd.Context(), o, newConfig, func() {
		banner(cmd.OutOrStdout(), standalone.ClientURL(o.SecureServing.BindAddress, o.SecureServing.BindPort), files.Kubeconfig)
	})
}

// whenReady calls ready once server answers that it is.
func whenReady(server *genericapiserver.GenericAPIServer, ready func()) error {
	return server.AddPostStartHook("batchgate-announce-ready", func(hook genericapiserver.PostStartHookContext) error {
		client, err := kubernetes.NewForConfig(hook.LoopbackClientConfig)
		if err != nil {
			return err
		}
		go func() {
			err := wait.PollUntilContextCancel(hook, 100*time.Millisecond, true, func(ctx context.Context) (bool, error) {
				return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error() == nil, nil
			})
			if err == nil {
				ready()
			}
		}()
		return nil
	})
}

func banner(w io.Writer, url, kubeconfig string) {
	fmt.Fprintf(w, `
Batchgate serves batch/v1 at %[1]s. Try, in another terminal:

  export KUBECONFIG=%[2]s
  kubectl create job pi --image=perl -- perl -Mbignum=bpi -wle 'print bpi(100)'
  kubectl patch job pi --type=merge -p '{"spec":{"parallelism":3}}'      # allowed
  kubectl patch job pi --type=merge -p '{"spec":{"backoffLimit":1}}'     # refused
  kubectl get jobs

Ctrl-C stops it; the Jobs stay in the directory.

`, url, kubeconfig)
}
