// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package app is the command line of kubectl-batchgate. It parses flags, composes the operations
// of pkg/plugin, and prints their results.
package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"
	"k8s.io/component-base/version"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/plugin/cluster"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
)

// Exit codes, for scripts.
const (
	exitError          = 1 // an operation failed; the output says in which state
	exitNothingChanged = 2 // a check failed before anything was changed
	exitRolledBack     = 3 // an operation failed and was rolled back

	exitUnanswered = 2 // can-update or policy test has no answer
)

// Main runs the plugin and returns its exit code.
func Main(ctx context.Context, streams genericiooptions.IOStreams, args []string) int {
	return run(ctx, newSettings(streams), args)
}

func run(ctx context.Context, s *settings, args []string) int {
	cmd := newCommand(s)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(ctx)
	if err != nil {
		fmt.Fprintln(s.streams.ErrOut, "error:", err)
	}
	return exitCode(err)
}

func exitCode(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.Is(err, steps.ErrRolledBack):
		return exitRolledBack
	case errors.Is(err, steps.ErrNothingChanged):
		return exitNothingChanged
	case errors.As(err, &unansweredError{}):
		return exitUnanswered
	}
	return exitError
}

// settings holds the flags that all commands share.
type settings struct {
	streams genericiooptions.IOStreams
	config  *genericclioptions.ConfigFlags
	service cluster.Service
	server  string
	output  string
	dryRun  bool
	// undoFlags are the flags of this call that an undo command needs, too.
	undoFlags string

	// The functions below are replaced in tests.
	newCluster    func(*rest.Config) (*cluster.Cluster, error)
	dial          func(context.Context, *connection) (*cluster.Direct, error)
	dialAll       func(context.Context, *connection) ([]*cluster.Direct, func(), error)
	checkReplicas func(context.Context, *settings, *cluster.Cluster, []byte) (int, error)
}

func newSettings(streams genericiooptions.IOStreams) *settings {
	return &settings{
		streams:       streams,
		config:        genericclioptions.NewConfigFlags(true),
		service:       cluster.Service{Namespace: policy.Namespace, Name: policy.ServiceName, Port: 443},
		newCluster:    cluster.New,
		dial:          dial,
		dialAll:       dialAll,
		checkReplicas: checkReplicas,
	}
}

// NewCommand returns the root command.
func NewCommand(streams genericiooptions.IOStreams) *cobra.Command {
	return newCommand(newSettings(streams))
}

func newCommand(s *settings) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "kubectl-batchgate",
		Short: "Take over batch/v1 with Batchgate, roll back, and show the status",
		Long: `Points the APIService v1.batch to Batchgate or back to kube-apiserver, shows which
server serves it, moves Jobs to a dedicated etcd, and creates and renews
Batchgate's certificates. You must be a cluster admin, except for can-update, which
shows what you may change, policy, which works on files, and unblock, which names
the permissions that it needs.

Exit codes of all commands except status, can-update and policy:
  0  success
  1  an operation failed; the output says in which state
  2  a check failed before anything was changed
  3  an operation failed and was rolled back`,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl batchgate"},
		Version:       version.Get().GitVersion,
		Args:          knownCommand,
		RunE:          printHelp,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRun: func(cmd *cobra.Command, _ []string) {
			cmd.Flags().Visit(func(f *pflag.Flag) {
				if slices.Contains(repeatedFlags, f.Name) {
					s.undoFlags += fmt.Sprintf(" --%s=%s", f.Name, f.Value)
				}
			})
		},
	}
	cmd.SetOut(s.streams.Out)
	cmd.SetErr(s.streams.ErrOut)
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return nothingChanged{err} })
	flags := cmd.PersistentFlags()
	s.config.AddFlags(flags)
	flags.StringVar(&s.service.Namespace, "service-namespace", s.service.Namespace, "Namespace of Batchgate's Service.")
	flags.StringVar(&s.service.Name, "service", s.service.Name, "Name of Batchgate's Service.")
	flags.Int32Var(&s.service.Port, "service-port", s.service.Port, "Port of Batchgate's Service.")
	flags.StringVar(&s.server, "batchgate-server", s.server, "Address (host:port) of Batchgate, for direct connections. By default the command forwards a port to one of its Pods.")
	flags.StringVarP(&s.output, "output", "o", s.output, "Output format for programs, json or yaml. The default is text.")
	cmd.AddCommand(newStatusCommand(s), newTakeoverCommand(s), newRollbackCommand(s), newUnblockCommand(s), newCanUpdateCommand(s), newPolicyCommand(s), newImportCommand(s), newCertificatesCommand(s))
	return cmd
}

// repeatedFlags are the flags that an undo command needs, too. They must not be credentials,
// since the command is printed.
var repeatedFlags = []string{"kubeconfig", "context", "cluster", "user", "server", "as", "service", "service-namespace", "service-port", "batchgate-server"}

// checkOutput rejects an unknown value of --output.
func (s *settings) checkOutput() error {
	switch s.output {
	case "", "json", "yaml":
		return nil
	}
	return fmt.Errorf("--output=%s: must be json or yaml", s.output)
}

// nothingChanged is steps.ErrNothingChanged without its text, for errors in flags and arguments.
type nothingChanged struct{ error }

func (nothingChanged) Unwrap() error { return steps.ErrNothingChanged }

// noArgs is cobra.NoArgs with the exit code of nothingChanged.
func noArgs(cmd *cobra.Command, args []string) error {
	if err := cobra.NoArgs(cmd, args); err != nil {
		return nothingChanged{err}
	}
	return nil
}

// knownCommand rejects the name of a command that does not exist. Cobra's own check has another exit code
// at the root, and none below it.
func knownCommand(cmd *cobra.Command, args []string) error {
	err := noArgs(cmd, args)
	if err == nil {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2 // cobra sets it in its own check only
	suggestions := cmd.SuggestionsFor(args[0])
	if len(suggestions) == 0 {
		return nothingChanged{fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())}
	}
	return nothingChanged{fmt.Errorf("%w; did you mean %s?", err, strings.Join(suggestions, " or "))}
}

// printHelp makes knownCommand run, because cobra only checks the arguments of commands that do something.
func printHelp(cmd *cobra.Command, _ []string) error { return cmd.Help() }

func (s *settings) cluster() (*cluster.Cluster, error) {
	if err := s.checkOutput(); err != nil {
		return nil, nothingChanged{err}
	}
	config, err := s.config.ToRESTConfig()
	if err != nil {
		return nil, fmt.Errorf("reading the kubeconfig: %w", err)
	}
	return s.newCluster(config)
}

func (s *settings) addDryRun(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&s.dryRun, "dry-run", s.dryRun, "Check and report what would be done, without changing anything.")
}

// progress prints messages during long steps.
func (s *settings) progress(text string) { fmt.Fprintln(s.streams.ErrOut, text) }
