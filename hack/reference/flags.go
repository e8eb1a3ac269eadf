// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"

	"github.com/spf13/pflag"
)

// flagTable returns a table of flags.
func flagTable(flags []*pflag.Flag) string {
	var rows [][]string
	for _, f := range flags {
		if f.Hidden || f.Name == "help" {
			continue
		}
		value, usage := pflag.UnquoteUsage(f)
		name := strings.TrimSpace("--" + f.Name + " " + value)
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		if f.Deprecated != "" {
			usage += " Deprecated: " + f.Deprecated
		}
		rows = append(rows, []string{code(name), code(defaultValue(f)), cell(usage)})
	}
	return table([]string{"flag", "default", "description"}, rows)
}

// defaultValue returns the default of a flag; empty if it has none.
func defaultValue(f *pflag.Flag) string {
	switch f.DefValue {
	case "[]", "<nil>", "map[]":
		return ""
	}
	return f.DefValue
}

// flagsOf returns the flags of a set in the order of their names.
func flagsOf(set *pflag.FlagSet) []*pflag.Flag {
	var flags []*pflag.Flag
	set.VisitAll(func(f *pflag.Flag) { flags = append(flags, f) })
	return flags
}
