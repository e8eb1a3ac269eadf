package transitions

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/batchgate/batchgate/test/framework"
)

// intro is the beginning of the document.
//
//go:embed intro.md
var intro string

// The tables are what the oracle says, and the other test holds the Job controller to.
func TestTransitionsAreThoseOfTheDocs(t *testing.T) {
	root, err := framework.Root()
	if err != nil {
		t.Fatal(err)
	}
	path, want := filepath.Join(root, "docs", "transitions.md"), document()
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	is, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(is), want); diff != "" {
		t.Errorf("docs/transitions.md differs; run: UPDATE_GOLDEN=1 go test ./test/e2e/transitions -run %s\n%s", t.Name(), diff)
	}
}

// columns are the tables that a page has, by what their changes are about.
var columns = []struct {
	title string
	of    func(*change) bool
}{
	{"Completions", func(ch *change) bool {
		return ch.kind == ofNumbers && strings.HasPrefix(ch.name, "completions") && !both(ch)
	}},
	{"Parallelism, and both", func(ch *change) bool {
		return ch.kind == ofNothing || ch.kind == ofNumbers && (both(ch) || strings.HasPrefix(ch.name, "parallelism"))
	}},
	{"A generated selector", func(ch *change) bool { return ch.kind == ofGeneratedSelector }},
	{"A manual selector", func(ch *change) bool { return ch.kind == ofManualSelector }},
}

func both(ch *change) bool {
	return strings.HasPrefix(ch.name, "both") || strings.Contains(ch.name, ",")
}

func document() string {
	cells, without := product()
	refused, entries := 0, map[cell]string{}
	for _, c := range cells {
		entry := describe(c)
		entries[c] = entry
		if strings.HasPrefix(entry, "no:") {
			refused++
		}
	}
	var d strings.Builder
	fmt.Fprintf(&d, intro, len(cells), len(cells)-refused, refused)
	for _, r := range leftOut {
		fmt.Fprintf(&d, "| %s | %d |\n", r.rule, without[r.rule])
	}
	for _, m := range modes {
		fmt.Fprintf(&d, "\n## %s\n", strings.ToUpper(string(m)[:1])+string(m)[1:])
		for _, f := range features {
			section(&d, m, f, entries)
		}
	}
	return d.String()
}

// section writes the tables of a feature. Of those that say mostly what is so without the
// feature, only the states in which they differ. States
// with the same entries share a row.
func section(d *strings.Builder, m mode, f feature, entries map[cell]string) {
	if !slices.ContainsFunc(states, func(s state) bool { return entries[cell{m, f, s, unchanged}] != "" }) {
		return
	}
	if f != noFeature {
		fmt.Fprintf(d, "\n### %s, %s\n", strings.ToUpper(string(m)[:1])+string(m)[1:], f)
	}
	same := true
	for _, column := range columns {
		of := slices.DeleteFunc(slices.Clone(changes), func(ch *change) bool {
			return !column.of(ch) || !slices.ContainsFunc(states, func(s state) bool { return ch != unchanged && entries[cell{m, f, s, ch}] != "" })
		})
		if len(of) == 0 || len(of) == 1 && of[0] == unchanged {
			continue
		}
		var rows []string
		like := map[string][]string{} // the states that have a row
		for _, s := range states {
			row, differs, exists := "", false, false
			for _, ch := range of {
				entry, plain := entries[cell{m, f, s, ch}], entries[cell{m, noFeature, s, ch}]
				exists = exists || entry != ""
				differs = differs || entry != plain
				if entry == "" {
					entry = "–"
				}
				row += " " + entry + " |"
			}
			if exists && (f == noFeature || differs) {
				if like[row] == nil {
					rows = append(rows, row)
				}
				like[row] = append(like[row], string(s))
			}
		}
		if len(rows) == 0 {
			continue
		}
		same = false
		fmt.Fprintf(d, "\n%s:\n\n| state |", column.title)
		for _, ch := range of {
			fmt.Fprintf(d, " %s |", strings.TrimPrefix(ch.name, strings.ToLower(column.title)+" "))
		}
		fmt.Fprintf(d, "\n|%s\n", strings.Repeat(" --- |", len(of)+1))
		for _, row := range rows {
			fmt.Fprintf(d, "| %s |%s\n", strings.Join(like[row], "; "), row)
		}
	}
	if same {
		d.WriteString("\nAs without it.\n")
	} else if f != noFeature && f != manualSelector && f != managedBy {
		d.WriteString("\nIn other states, as without it.\n")
	}
}

// describe says how a cell ends, or why it is refused.
func describe(c cell) string {
	if _, word := refusal(c); word != "" {
		return "no: " + word
	}
	switch {
	case c.feature == managedBy:
		return "stored"
	case c.state == deleted:
		return "gone"
	}
	o := c.change.apply(factsIn(c)).kept(c.mode).woken().end(c)
	what := fmt.Sprint(len(o.succeeded))
	if c.mode == indexed {
		what = intervals(o.succeeded)
	}
	if o.more {
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
