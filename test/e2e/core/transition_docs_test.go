// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package core

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/batchgate/batchgate/test/framework"
)

const (
	transitionsPage = "docs/reference/completions-and-selector.md"
	tableBegin      = "<!-- transitions: begin -->\n"
	tableEnd        = "<!-- transitions: end -->\n"
)

// The docs contain the table that TestTransitionOutcomes runs.
func TestTransitionsMatchDocs(t *testing.T) {
	root, err := framework.Root()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, transitionsPage)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := strings.Cut(string(content), tableBegin)
	documented, after, ends := strings.Cut(rest, tableEnd)
	if !begins || !ends {
		t.Fatalf("%s has no markers for the table", path)
	}
	table := transitionTable()
	if os.Getenv("UPDATE_GOLDEN") != "" {
		documented = table
		if err := os.WriteFile(path, []byte(before+tableBegin+table+tableEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(documented, table); diff != "" {
		t.Errorf("%s differs; run: UPDATE_GOLDEN=1 go -C test test ./e2e/core -run %s\n%s", transitionsPage, t.Name(), diff)
	}
}

func transitionTable() string {
	var table strings.Builder
	table.WriteString("| Job (completions) | state | change of the spec | Pods that run then | ends as |\n| --- | --- | --- | --- | --- |\n")
	for _, tc := range transitions {
		fmt.Fprintf(&table, "| %s | %s | `%s` | %s |\n", tc.job, tc.state, tc.patch, tc.outcome())
	}
	return table.String()
}

// outcome returns the last two columns of the table.
func (tc transition) outcome() string {
	switch {
	case tc.wantError != "":
		return "as before | rejected: " + tc.wantError
	case tc.succeeded == anySucceeded:
		return fmt.Sprintf("%d | %s", tc.active, tc.ends)
	case tc.indexes != "":
		return fmt.Sprintf("%d | %s, %d succeeded, indexes %s", tc.active, tc.ends, tc.succeeded, tc.indexes)
	default:
		return fmt.Sprintf("%d | %s, %d succeeded", tc.active, tc.ends, tc.succeeded)
	}
}
