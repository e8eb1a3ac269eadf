// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package transitions

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/batchgate/batchgate/test/framework"
)

//go:embed docs_header.md
var docsHeader string

const updateCommand = "UPDATE_GOLDEN=1 go -C test test -count=1 ./e2e/transitions -run TestTransitionsDocUpToDate"

// TestTransitionsDocUpToDate compares docs/generated/transitions.md with the model.
// TestTransitionsMatchModel compares the model with the Job controller.
func TestTransitionsDocUpToDate(t *testing.T) {
	framework.CompareGolden(t, "docs/generated/transitions.md", renderDoc(), updateCommand)
}

// tables are the tables of each section and the changes in their columns.
var tables = []struct {
	title    string
	includes func(*change) bool
}{
	{"Completions", func(ch *change) bool {
		return ch.kind == changesNumbers && strings.HasPrefix(ch.name, "completions") && !changesBoth(ch)
	}},
	{"Parallelism, and both", func(ch *change) bool {
		return ch.kind == changesNothing || ch.kind == changesNumbers && (changesBoth(ch) || strings.HasPrefix(ch.name, "parallelism"))
	}},
	{"Generated selector", func(ch *change) bool { return ch.kind == changesGeneratedSelector }},
	{"Manual selector", func(ch *change) bool { return ch.kind == changesManualSelector }},
}

func changesBoth(ch *change) bool {
	return strings.HasPrefix(ch.name, "both") || strings.Contains(ch.name, ",")
}

func renderDoc() string {
	all, excluded := combinations()
	rejected, entries := 0, map[combination]string{}
	for _, c := range all {
		entry := describeOutcome(c)
		entries[c] = entry
		if strings.HasPrefix(entry, "no:") {
			rejected++
		}
	}
	var d strings.Builder
	fmt.Fprintf(&d, docsHeader, updateCommand, len(all), len(all)-rejected, rejected)
	for _, r := range exclusions {
		fmt.Fprintf(&d, "| %s | %d |\n", r.rule, excluded[r.rule])
	}
	for _, m := range modes {
		fmt.Fprintf(&d, "\n## %s\n", strings.ToUpper(string(m)[:1])+string(m)[1:])
		for _, f := range features {
			renderSection(&d, m, f, entries)
		}
	}
	return d.String()
}

// renderSection writes the tables of a feature. It omits states with the same entries as without the
// feature. States with equal entries share a row.
func renderSection(d *strings.Builder, m mode, f feature, entries map[combination]string) {
	if !slices.ContainsFunc(states, func(s state) bool { return entries[combination{m, f, s, noChange}] != "" }) {
		return
	}
	if f != noFeature {
		fmt.Fprintf(d, "\n### %s, %s\n", strings.ToUpper(string(m)[:1])+string(m)[1:], f)
	}
	same := true
	for _, table := range tables {
		columns := slices.DeleteFunc(slices.Clone(changes), func(ch *change) bool {
			return !table.includes(ch) || !slices.ContainsFunc(states, func(s state) bool { return ch != noChange && entries[combination{m, f, s, ch}] != "" })
		})
		if len(columns) == 0 || len(columns) == 1 && columns[0] == noChange {
			continue
		}
		var rows []string
		statesOf := map[string][]string{} // by row
		for _, s := range states {
			row, differs, exists := "", false, false
			for _, ch := range columns {
				entry, plain := entries[combination{m, f, s, ch}], entries[combination{m, noFeature, s, ch}]
				exists = exists || entry != ""
				differs = differs || entry != plain
				if entry == "" {
					entry = "–"
				}
				row += " " + entry + " |"
			}
			if exists && (f == noFeature || differs) {
				if statesOf[row] == nil {
					rows = append(rows, row)
				}
				statesOf[row] = append(statesOf[row], string(s))
			}
		}
		if len(rows) == 0 {
			continue
		}
		same = false
		fmt.Fprintf(d, "\n%s:\n\n| state |", table.title)
		for _, ch := range columns {
			fmt.Fprintf(d, " %s |", strings.TrimPrefix(ch.name, strings.ToLower(table.title)+" "))
		}
		fmt.Fprintf(d, "\n|%s\n", strings.Repeat(" --- |", len(columns)+1))
		for _, row := range rows {
			fmt.Fprintf(d, "| %s |%s\n", strings.Join(statesOf[row], "; "), row)
		}
	}
	if same {
		d.WriteString("\nAll entries are the same as without the feature.\n")
	} else if f != noFeature && f != manualSelector && f != managedBy {
		d.WriteString("\nOther states have the same entries as without the feature.\n")
	}
}

// describeOutcome returns the table entry of a combination.
func describeOutcome(c combination) string {
	if _, reason := rejection(c); reason != "" {
		return "no: " + reason
	}
	switch {
	case c.feature == managedBy:
		return "stored"
	case c.state == deleted:
		return "gone"
	}
	o := c.change.apply(modelOf(c)).withoutDroppedIndexes(c.mode).unblocked().outcome(c)
	what := fmt.Sprint(len(o.succeeded))
	if c.mode == indexed {
		what = formatIndexes(o.succeeded)
	}
	if o.mayExceed {
		what += " ..."
	}
	if o.condition == "Failed" {
		return strings.TrimSpace("Failed " + what)
	}
	if what == "" {
		return "none"
	}
	return what
}
