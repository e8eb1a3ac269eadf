package upstream

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/batchgate/batchgate/test/framework"
)

const updateCommand = "UPDATE_GOLDEN=1 make test-conformance"

// What rows say.
const (
	passes          = "passes"
	updates         = "updates `"
	conformanceMark = " (C)"
)

// compareTable compares the results with docs/conformance.md, which it writes first where
// UPDATE_GOLDEN is set.
func compareTable(t *testing.T, results map[string]map[string]result) {
	t.Helper()
	root, err := framework.Root()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, "docs", "conformance.md")
	rows := rows(results)
	t.Log("\n" + strings.Join(slices.Sorted(slices.Values(rows)), ""))
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, []byte(document(t, rows)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(content), document(t, rows)); diff != "" {
		t.Errorf("docs/conformance.md differs; run: %s\n%s", updateCommand, diff)
	}
}

func document(t *testing.T, rows []string) string {
	t.Helper()
	version, err := upstream.Version(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	passed, updating, conformance, both := 0, 0, 0, 0
	for _, row := range rows {
		// The columns are the name, native, and the others.
		columns := strings.Split(row, " | ")
		if columns[1] != passes {
			continue
		}
		passed++
		counts, isGated := strings.HasSuffix(columns[0], conformanceMark), strings.HasPrefix(columns[len(columns)-1], updates)
		if counts {
			conformance++
		}
		if isGated {
			updating++
		}
		if counts && isGated {
			both++
		}
	}
	text := fmt.Sprintf(preamble, version, len(rows), conformance, passed, updating, updateCommand, both)
	return text + strings.Join(slices.Sorted(slices.Values(rows)), "")
}

const preamble = `# Conformance

What Kubernetes' own end-to-end tests say of Batchgate: those of %[1]s, its e2e.test unchanged, run on two control planes, of
which one is as it is and the other one is taken over by Batchgate. Both have the feature gates GenericWorkload and WorkloadWithJob
on, which specs ask for. Nodes are played by kwok; Pods end as their commands would.
All specs of Jobs, CronJobs, the TTL controller and discovery are here, and those of other groups that are about ` + "`batch/v1`" + `,
but for one: "Test using a Job should run gpu based jobs" needs a node with a GPU.

- %[4]d of %[2]d specs pass natively; %[3]d of these count for conformance and are marked with (C).
- %[5]d of the %[2]d update more than is updatable by default. Without a grant they must be **refused** by the gate, with its message. A
  user to whom a JobUpdatePolicy grants the named fields, and nothing else, must pass them; one who lacks any of these must be refused it.
- %[7]d of the %[5]d count for conformance. A cluster that is to pass Kubernetes' conformance tests needs a policy for the user that
  runs them, while they run.
- All others must pass without a grant.

` + "`make test-conformance`" + ` runs all of this and fails if anything is not as written here. This file is written by
` + "`%[6]s`" + `.

| spec | native | Batchgate | with a grant | note |
| --- | --- | --- | --- | --- |
`

// rows returns the rows of the table, of all specs that were run natively.
func rows(results map[string]map[string]result) []string {
	var rows []string
	for name := range results[native] {
		title, note := name, ""
		if results[native][name].conformance {
			title += conformanceMark
		}
		columns := []string{outcome(results[native][name], nil), outcome(results[strict][name], gated[name]), ""}
		if gated[name] != nil {
			columns[2] = outcome(results[granted][name], nil)
			note = updates + strings.Join(gated[name], "`, `") + "`"
		}
		if reason := notRunnable[name]; reason != "" {
			note = reason
		}
		rows = append(rows, fmt.Sprintf("| %s | %s | %s |\n", title, strings.Join(columns, " | "), note))
	}
	return rows
}

func outcome(r result, fields []string) string {
	switch {
	case r.passed():
		return passes
	case fields != nil && refusedByGate(r, fields) == nil:
		return "refused"
	default:
		return "fails"
	}
}
