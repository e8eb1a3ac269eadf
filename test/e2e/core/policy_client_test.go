package core

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/batchgate/batchgate/test/framework"
)

// The example runs as a user who may only read policies. Nothing that can be written today is
// not in force, so the test says so of a policy through the status, as a server of another
// release would.
func TestExampleOfTheGeneratedClientReportsPoliciesThatAreNotReady(t *testing.T) {
	t.Parallel()
	s := newSession(t)
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
	name := s.createPolicy(s.newPolicy("reported", fields("spec.suspend")))
	s.run("wait", "jup", name, "--for=condition=Ready", "--timeout=110s")
	viewer := "viewer-" + s.namespace
	s.bindClusterWide(viewer, "view")
	user := s.as(viewer)
	user.granted("get", "jup")

	output, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer output.Close()
	client := exec.CommandContext(t.Context(), binary, "--kubeconfig="+user.kubectl.Kubeconfig)
	client.Stdout, client.Stderr = output, output
	if err := client.Start(); err != nil {
		t.Fatal(err)
	}
	logs := func(texts ...string) {
		t.Helper()
		s.eventually("be logged", func() error {
			log, err := os.ReadFile(output.Name())
			if err != nil {
				return err
			}
			for _, text := range texts {
				if !strings.Contains(string(log), text) {
					return fmt.Errorf("the log does not say %s:\n%s", text, log)
				}
			}
			return nil
		})
	}
	logs(`"The policy is active" policy="default" fields=["metadata.labels",`, fmt.Sprintf(`"The policy is active" policy=%q`, name))
	s.run("patch", "jup", name, "--subresource=status", "--type=merge", `--patch={"status": {"conditions": [
		{"type": "Ready", "status": "False", "reason": "UnsupportedFields", "message": "a field is not known", "lastTransitionTime": "2026-01-01T00:00:00Z", "observedGeneration": 1}]}}`)
	logs(fmt.Sprintf(`"The policy is not fully active" policy=%q reason="UnsupportedFields" message="a field is not known"`, name))
	if err := client.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := client.Wait(); err != nil {
		t.Errorf("asked to end, it ended with %v", err)
	}
}
