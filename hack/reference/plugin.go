// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	plugin "github.com/batchgate/batchgate/cmd/kubectl-batchgate/app"
)

// pluginPage returns the page about the commands of the kubectl plugin.
func pluginPage() (string, error) {
	root := plugin.NewCommand(genericiooptions.NewTestIOStreamsDiscard())
	var b strings.Builder
	fmt.Fprintf(&b, "# kubectl batchgate\n\nThis page lists the commands of the kubectl plugin with their flags and examples.\n\n%s\n", prose(root.Long))
	b.WriteString("| command | purpose |\n| --- | --- |\n")
	for _, cmd := range root.Commands() {
		fmt.Fprintf(&b, "| [%s](#%s) | %s |\n", cmd.Name(), cmd.Name(), escape(cmd.Short))
	}
	for _, cmd := range root.Commands() {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n%s", title(cmd.Name()), prose(cmd.Long), block("text", cmd.UseLine()))
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
