// Package app is the command line of kubectl-batchgate.
package app

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/component-base/version"

	"github.com/batchgate/batchgate/pkg/takeover"
)

// The exit codes, for scripts.
const (
	exitError      = 1 // something failed on the way; what is said tells the state
	exitRefused    = 2 // a check failed, and nothing was changed
	exitRolledBack = 3 // the takeover was begun, and rolled back
)

// Main runs the plugin and returns its exit code.
func Main(ctx context.Context, streams genericiooptions.IOStreams, args []string) int {
	cmd := newCommand(streams)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, takeover.ErrRolledBack):
		fmt.Fprintln(streams.ErrOut, "error:", err)
		return exitRolledBack
	case errors.Is(err, takeover.ErrRefused):
		fmt.Fprintln(streams.ErrOut, "error:", err)
		return exitRefused
	}
	fmt.Fprintln(streams.ErrOut, "error:", err)
	return exitError
}

// settings are the flags of all commands.
type settings struct {
	streams genericiooptions.IOStreams
	config  *genericclioptions.ConfigFlags
	service takeover.Service
	server  string
	output  string
	dryRun  bool
	// given are the flags that say which cluster and Service is meant, as they were given.
	given string
}

func newCommand(streams genericiooptions.IOStreams) *cobra.Command {
	s := &settings{
		streams: streams,
		config:  genericclioptions.NewConfigFlags(true),
		service: takeover.Service{Namespace: "batchgate-system", Name: "batchgate-apiserver", Port: 443},
	}
	cmd := &cobra.Command{
		Use:   "kubectl-batchgate",
		Short: "Take batch/v1 over with Batchgate, give it back, and see who serves it",
		Long: `Gives the APIService v1.batch to Batchgate and back to kube-apiserver, and shows
who serves it; makes and renews Batchgate's certificates. It needs the rights of a cluster admin.

Exit codes: 0 all is well; 1 something failed, and what is printed says where it
stopped; 2 a check failed before anything was changed; 3 the takeover was begun,
did not work, and was rolled back.`,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl batchgate"},
		Version:       version.Get().GitVersion,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRun: func(cmd *cobra.Command, _ []string) {
			cmd.Flags().Visit(func(f *pflag.Flag) {
				if slices.Contains(lastingFlags, f.Name) {
					s.given += fmt.Sprintf(" --%s=%s", f.Name, f.Value)
				}
			})
		},
	}
	cmd.SetOut(streams.Out)
	cmd.SetErr(streams.ErrOut)
	flags := cmd.PersistentFlags()
	s.config.AddFlags(flags)
	flags.StringVar(&s.service.Namespace, "service-namespace", s.service.Namespace, "Namespace of Batchgate's Service.")
	flags.StringVar(&s.service.Name, "service", s.service.Name, "Name of Batchgate's Service.")
	flags.Int32Var(&s.service.Port, "service-port", s.service.Port, "Port of Batchgate's Service.")
	flags.StringVar(&s.server, "batchgate-server", s.server, "host:port at which Batchgate is reached from here, past kube-apiserver. By default a port is forwarded to one of its Pods.")
	flags.StringVarP(&s.output, "output", "o", s.output, "json or yaml, for programs. By default what is done is printed while it is done.")
	cmd.AddCommand(newStatusCommand(s), newTakeoverCommand(s), newRollbackCommand(s), newImportCommand(s), newCertificatesCommand(s))
	return cmd
}

// lastingFlags are those that the command that undoes another one needs too. No credential is
// among them: they are printed.
var lastingFlags = []string{"kubeconfig", "context", "cluster", "user", "server", "as", "service", "service-namespace", "service-port", "batchgate-server"}

func (s *settings) cluster() (*takeover.Cluster, error) {
	switch s.output {
	case "", "json", "yaml":
	default:
		return nil, fmt.Errorf("--output=%s: it must be json or yaml: %w", s.output, takeover.ErrRefused)
	}
	config, err := s.config.ToRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("finding the cluster: %w", err)
	}
	return takeover.NewCluster(config)
}
