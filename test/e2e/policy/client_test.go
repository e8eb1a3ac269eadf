// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/batchgate/batchgate/test/e2e/internal/session"
	"github.com/batchgate/batchgate/test/framework"
)

// The example client runs as a user who may only read policies. This server accepts no policy that it
// cannot load, so the test writes the status that a server of another release would.
func TestExampleClientReportsUnreadyPolicies(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	root, err := framework.Root()
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(t.TempDir(), "policy-client")
	build := exec.Command("go", "build", "-o", binary, "./artifacts/examples/policy-client")
	build.Dir = root
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, output)
	}
	name := s.CreatePolicy(s.NewPolicy("reported", session.Fields("spec.suspend")))
	s.Run("wait", "jup", name, "--for=condition=Ready", "--timeout=110s")
	viewer := "viewer-" + s.Namespace
	bindClusterWide(s, viewer, "view")
	user := s.As(viewer)
	user.RunEventually("get", "jup")

	output, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	client := exec.CommandContext(t.Context(), binary, "--kubeconfig="+user.Kubectl.Kubeconfig)
	client.Stdout, client.Stderr = output, output
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	waitLog := func(texts ...string) {
		t.Helper()
		s.Eventually("find messages in the log of the client", func() error {
			log, err := os.ReadFile(output.Name())
			if err != nil {
				return err
			}
			for _, text := range texts {
				if !strings.Contains(string(log), text) {
					return fmt.Errorf("log does not contain %s:\n%s", text, log)
				}
			}
			return nil
		})
	}
	waitLog(`"The policy is active" policy="default" fields=["metadata.labels",`, fmt.Sprintf(`"The policy is active" policy=%q`, name))
	s.Run("patch", "jup", name, "--subresource=status", "--type=merge", `--patch={"status": {"conditions": [
		{"type": "Ready", "status": "False", "reason": "UnsupportedFields", "message": "a field is not known", "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1}]}}`)
	waitLog(fmt.Sprintf(`"The policy is not fully active" policy=%q reason="UnsupportedFields" message="a field is not known"`, name))
	if err := client.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := client.Wait(); err != nil {
		t.Errorf("client failed after SIGTERM: %v", err)
	}
}
