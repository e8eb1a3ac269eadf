// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/batchgate/batchgate/test/e2e/internal/session"
	"github.com/batchgate/batchgate/test/framework"
)

// codeBlock matches a block of commands: sh for a script, console for a command with its output.
var codeBlock = regexp.MustCompile("(?ms)^```(sh|console)\n(.*?)^```$")

// The tutorial works as it is printed, and prints what it says.
func TestTutorialWarnToEnforce(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	tools, err := framework.BuildTools(t.Context(), "controlplane", "kubectl")
	if err != nil {
		t.Fatal(err)
	}
	root, err := framework.Root()
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, "docs/tutorials/warn-to-enforce.md"))
	if err != nil {
		t.Fatal(err)
	}
	script := "set -euo pipefail\n"
	var want []string
	for _, block := range codeBlock.FindAllStringSubmatch(string(page), -1) {
		kind, text := block[1], block[2]
		if kind == "sh" {
			script += text
			continue
		}
		command, output, _ := strings.Cut(strings.TrimPrefix(text, "$ "), "\n")
		script += fmt.Sprintf("{ %s; } >output-%d 2>&1 || true\n", command, len(want))
		want = append(want, output)
	}
	if len(want) < 5 {
		t.Fatalf("the page has only %d commands with output", len(want))
	}
	directory := t.TempDir()
	command := exec.CommandContext(t.Context(), "bash", "-c", script)
	command.Dir = directory
	command.Env = append(os.Environ(), "KUBECONFIG="+cluster.Kubeconfig, "KUBECACHEDIR="+t.TempDir(), "PATH="+s.PluginDir()+":"+tools+":"+os.Getenv("PATH"))
	all, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, all)
	}
	// Only changes that should be denied cause a warning once the policies exist.
	if _, after, found := strings.Cut(string(all), " condition met\njobupdatepolicy"); !found || strings.Contains(after, "Warning") {
		t.Errorf("an update that should be allowed caused a warning:\n%s", after)
	}
	for i, output := range want {
		got, err := os.ReadFile(filepath.Join(directory, fmt.Sprintf("output-%d", i)))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(output, string(got)); diff != "" {
			t.Errorf("output %d (-page +got):\n%s", i, diff)
		}
	}
}
