// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package core

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/batchgate/batchgate/hack/svg"
	"github.com/batchgate/batchgate/test/e2e/internal/session"
	"github.com/batchgate/batchgate/test/framework"
)

// recorded lists the commands that docs/images/session.svg shows. Their output must not depend on the
// time or the machine.
var recorded = []struct {
	line  string
	fails bool
}{
	{line: "# Labels, parallelism and completions of a Job may change."},
	{line: "kubectl create -f artifacts/examples/job-pi.yaml"},
	{line: `kubectl patch job pi -p '{"spec":{"parallelism":3,"completions":6}}'`},
	{line: "# Other fields may not. The error lists each of them, and nothing is stored."},
	{line: `kubectl patch job pi -p '{"spec":{"parallelism":5,"suspend":true,"backoffLimit":0}}'`, fails: true},
	{line: `kubectl get job pi -o jsonpath='{.spec.parallelism} {.spec.suspend}{"\n"}'`},
	{line: "# A policy grants further fields. This one is for Jobs with the label app=pi."},
	{line: `kubectl create -f - <<END
apiVersion: policy.batchgate.io/v1alpha1
kind: JobUpdatePolicy
metadata: {name: suspend}
spec:
  jobSelector: {matchLabels: {app: pi}}
  fields: [spec.suspend]
END`},
	{line: "kubectl wait jup suspend --for=condition=Ready"},
	{line: `kubectl patch job pi -p '{"spec":{"suspend":true}}'`},
	{line: "kubectl get jup -o custom-columns=POLICY:.metadata.name,FIELDS:.spec.fields"},
}

// The picture shows the output of these commands with the server of "make run".
func TestRecordedSession(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	shell := startStandalone(t, directory)
	var commands []svg.Command
	for _, r := range recorded {
		output, err := shell(r.line)
		if (err != nil) != r.fails {
			t.Fatalf("%s: %v\n%s", r.line, err, output)
		}
		commands = append(commands, svg.Command{Line: r.line, Output: output})
	}
	update := "UPDATE_GOLDEN=1 make test-e2e SUITE=core RUN=" + t.Name()
	framework.CompareGolden(t, "docs/images/session.svg", svg.Terminal(update, "kubectl with Batchgate", 92, commands), update)
}

// startStandalone starts a server without a cluster. The returned function runs a command line with a
// shell, and returns its output.
func startStandalone(t *testing.T, directory string) func(line string) (string, error) {
	t.Helper()
	root, err := framework.Root()
	if err != nil {
		t.Fatal(err)
	}
	port, err := framework.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(directory, "server.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	server := exec.Command(binaries.Batchgate, "standalone", "--directory="+directory, fmt.Sprint("--secure-port=", port))
	server.Stdout, server.Stderr = log, log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGTERM)
		_ = server.Wait()
		if t.Failed() {
			content, _ := os.ReadFile(log.Name())
			t.Logf("log of the server:\n%s", content)
		}
	})
	shell := func(line string) (string, error) {
		cmd := exec.CommandContext(t.Context(), "bash", "-c", line)
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "PATH="+binaries.Tools+":"+os.Getenv("PATH"), "HOME="+directory,
			"KUBECONFIG="+filepath.Join(directory, "admin.kubeconfig"), "KUBECACHEDIR="+filepath.Join(directory, "kubectl-cache"))
		output, err := cmd.CombinedOutput()
		return string(output), err
	}
	session.Eventually(t, "reach the standalone server", func() error {
		output, err := shell("kubectl get --raw=/readyz")
		if err != nil {
			return fmt.Errorf("%w: %s", err, strings.TrimSpace(output))
		}
		return nil
	})
	return shell
}
