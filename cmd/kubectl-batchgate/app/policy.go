// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package app

import "github.com/spf13/cobra"

func newPolicyCommand(s *settings) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Suggest and test JobUpdatePolicies",
		Long:  `Suggests and tests JobUpdatePolicies. The commands need no cluster.`,
		Args:  knownCommand,
		RunE:  printHelp,
	}
	cmd.AddCommand(newSuggestCommand(s), newPolicyTestCommand(s))
	return cmd
}
