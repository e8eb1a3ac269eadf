// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	server "github.com/batchgate/batchgate/cmd/batchgate-apiserver/app"
)

// serverPage returns the page about the flags of batchgate-apiserver.
func serverPage() (string, error) {
	root := server.NewCommand(context.Background())
	var b strings.Builder
	b.WriteString("# batchgate-apiserver\n\nThis page lists the commands of the server with all their flags and default values.\n")
	commands := append([]*cobra.Command{root}, root.Commands()...)
	b.WriteString("\n| command | purpose |\n| --- | --- |\n")
	for _, cmd := range commands {
		fmt.Fprintf(&b, "| [%s](#%s) | %s |\n", cmd.CommandPath(), anchor(heading(cmd)), escape(cmd.Short))
	}
	gates := ""
	for _, cmd := range commands {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n%s%s", heading(cmd), prose(cmd.Long), block("text", cmd.UseLine()), "\nExamples:\n\n"+block("sh", cmd.Example))
		sections, err := sectionsOf(cmd)
		if err != nil {
			return "", err
		}
		for _, s := range sections {
			fmt.Fprintf(&b, "\n### %s\n\n", sectionHeading(cmd, s.name))
			for i, f := range s.flags {
				if f.Name == "feature-gates" {
					// A list of more than a hundred lines does not fit into a cell.
					f := *f
					f.Usage, gates, _ = strings.Cut(f.Usage, "Options are:\n")
					f.Usage += " The available gates are [below](#feature-gates)."
					s.flags[i] = &f
				}
			}
			b.WriteString(flagTable(s.flags))
		}
	}
	gateTable, err := featureGates(gates)
	if err != nil {
		return "", err
	}
	b.WriteString("\n## Feature gates\n\nThe feature gates of `--feature-gates`. Give Batchgate the same values as kube-apiserver, because\nboth servers must accept and store the same Jobs.\n\n")
	return b.String() + gateTable, nil
}

// heading returns the heading of a command.
func heading(cmd *cobra.Command) string {
	if !cmd.HasParent() {
		return "The server in a cluster"
	}
	return title(cmd.Name())
}

func sectionHeading(cmd *cobra.Command, section string) string {
	text := section + " flags"
	if cmd.HasParent() && anchor(section) != cmd.Name() {
		text += " of " + cmd.Name()
	}
	return text
}

// anchor returns the id of a heading.
func anchor(heading string) string {
	return strings.ReplaceAll(strings.ToLower(heading), " ", "-")
}

// section is a section of the help text.
type section struct {
	name  string
	flags []*pflag.Flag
}

var (
	sectionLine = regexp.MustCompile(`^([A-Z][a-z ]*) flags:$`)
	flagLine    = regexp.MustCompile(`^ {2}(?:-.,| {3}) --([a-z0-9-]+)`)
)

// sectionsOf returns the flags of cmd as its help groups them.
func sectionsOf(cmd *cobra.Command) ([]section, error) {
	var help bytes.Buffer
	cmd.SetOut(&help)
	if err := cmd.Help(); err != nil {
		return nil, err
	}
	var sections []section
	listed := map[string]bool{}
	for line := range strings.Lines(help.String()) {
		line = strings.TrimRight(line, "\n")
		if match := sectionLine.FindStringSubmatch(line); match != nil {
			sections = append(sections, section{name: match[1]})
		}
		match := flagLine.FindStringSubmatch(line)
		if match == nil || len(sections) == 0 {
			continue
		}
		if f := cmd.Flags().Lookup(match[1]); f != nil && !listed[f.Name] {
			listed[f.Name] = true
			last := &sections[len(sections)-1]
			last.flags = append(last.flags, f)
		}
	}
	var err error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden && !listed[f.Name] && f.Name != "help" {
			err = errors.Join(err, fmt.Errorf("--%s is in no section of the help of %s", f.Name, cmd.Name()))
		}
	})
	return sections, err
}

// gateLine matches a line such as "kube:Gate=true|false (ALPHA - default=false)". A gate may have
// another default under a condition.
var gateLine = regexp.MustCompile(`^(?:kube:)?(\w+)=true\|false \((\w+) - default=(true|false)\)` +
	`(?:, or \w+=true\|false \((?:\w+) - default=(true|false)\) if (\S+))?$`)

// featureGates returns a table of the feature gates that the help of --feature-gates lists.
func featureGates(help string) (string, error) {
	var rows [][]string
	for line := range strings.Lines(help) {
		line = strings.TrimSpace(line)
		match := gateLine.FindStringSubmatch(line)
		if match == nil {
			return "", fmt.Errorf("--feature-gates lists %q in an unknown form", line)
		}
		value := code(match[3])
		if match[5] != "" {
			value += fmt.Sprintf("; %s if %s", code(match[4]), code(match[5]))
		}
		rows = append(rows, []string{code(match[1]), match[2], value})
	}
	if len(rows) == 0 {
		return "", errors.New("--feature-gates lists no gates")
	}
	return table([]string{"gate", "stage", "default"}, rows), nil
}
