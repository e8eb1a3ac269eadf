// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	plugin "github.com/batchgate/batchgate/cmd/kubectl-batchgate/app"
)

// pluginPage returns the page about the commands of the kubectl plugin.
func pluginPage() (string, error) {
	root := plugin.NewCommand(genericiooptions.NewTestIOStreamsDiscard())
	var b strings.Builder
	fmt.Fprintf(&b, "# kubectl batchgate\n\nThis page lists the commands of the kubectl plugin with their flags and examples.\n\n%s\n", prose(root.Long))
	b.WriteString("| command | purpose |\n| --- | --- |\n")
	commands := leaves(root)
	for _, cmd := range commands {
		name := commandName(cmd)
		fmt.Fprintf(&b, "| [%s](#%s) | %s |\n", name, strings.ReplaceAll(name, " ", "-"), escape(cmd.Short))
	}
	for _, cmd := range commands {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n%s", title(commandName(cmd)), prose(cmd.Long), block("text", cmd.UseLine()))
		if cmd.Example != "" {
			b.WriteString("\nExamples:\n\n" + block("sh", cmd.Example))
		}
		if cmd.HasAvailableLocalFlags() {
			b.WriteString("\nFlags:\n\n" + flagTable(flagsOf(cmd.NonInheritedFlags())))
		}
	}
	b.WriteString("\n## Flags of all commands\n\n" + flagTable(flagsOf(root.PersistentFlags())))
	return b.String(), nil
}

// leaves returns the commands below cmd that have no subcommands.
func leaves(cmd *cobra.Command) []*cobra.Command {
	var found []*cobra.Command
	for _, sub := range cmd.Commands() {
		if sub.HasSubCommands() {
			found = append(found, leaves(sub)...)
		} else {
			found = append(found, sub)
		}
	}
	return found
}

// commandName returns the name of a command without the name of the plugin, such as "policy test".
func commandName(cmd *cobra.Command) string {
	if cmd.Parent().HasParent() {
		return commandName(cmd.Parent()) + " " + cmd.Name()
	}
	return cmd.Name()
}
