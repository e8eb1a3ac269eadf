// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// CompareGolden fails the test if a file of the work tree differs from got. If UPDATE_GOLDEN is set,
// it writes the file instead. The failure prints updateCommand. Generated pages describe the Kubernetes
// version in go.mod, so they are not compared with an older control plane.
func CompareGolden(t testing.TB, file, got, updateCommand string) {
	t.Helper()
	root, err := Root()
	if err != nil {
		t.Fatalf("%v", err)
	}
	if os.Getenv(KubernetesVariable) != "" && strings.HasPrefix(file, "docs/generated/") {
		return
	}
	path := filepath.Join(root, file)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatalf("%v", err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v", err)
	}
	if diff := DiffLines(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s\nif the change is intended, run: %s", file, diff, updateCommand)
	}
}

// DiffLines returns the differences (-want +got), or "" if there are none. It also splits long lines of
// JSON, so that the diff stays readable.
func DiffLines(want, got string) string {
	split := func(text string) []string {
		return strings.Split(strings.ReplaceAll(text, `,"`, ",\n\""), "\n")
	}
	return cmp.Diff(split(want), split(got))
}
