package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/batchgate/batchgate/test/framework"
)

func TestRightsOnJobsAreTheClustersOwn(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.create(newJob("pi"))
	root, err := framework.Root()
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile(filepath.Join(root, "artifacts", "examples", "rbac-job-patcher.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	s.stdin(strings.ReplaceAll(string(example), "namespace: default", "namespace: "+s.namespace)).run("create", "--filename=-")
	label := func(subresource string) []string {
		return []string{"patch", "job", "pi", "--type=merge", `--patch={"metadata": {"labels": {"by": "user"}}}`, "--subresource=" + subresource}
	}

	patcher := s.as("job-patcher")
	patcher.run(label("")...)
	if got := s.field("pi", ".metadata.labels.by"); got != "user" {
		t.Errorf("the label is %q", got)
	}
	patcher.refused([]string{"annotate", "job", "pi", "a=b"}, refusal)
	patcher.refused(label("status"), "Forbidden", `cannot get resource "jobs/status"`)
	patcher.refused([]string{"delete", "job", "pi"}, "Forbidden", `cannot delete resource "jobs"`)

	nobody := s.as("nobody")
	nobody.refused(label(""), "Forbidden", `User "nobody" cannot get resource "jobs"`)
	nobody.refused(label("status"), "Forbidden")
}

// The user that Batchgate sees is the one who asked kube-apiserver, and the requests go
// through with the rights of that user only.
func TestImpersonatedUserHasTheRightsOfThatUser(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	s.create(newJob("pi"))
	s.refused([]string{"get", "job", "pi", "--as=somebody"}, "Forbidden", `User "somebody" cannot get resource "jobs"`)
	// Only the garbage collector may change owner references; a user who may impersonate
	// it could change everything else as well.
	s.run("patch", "job", "pi", "--type=merge", `--patch={"metadata": {"finalizers": ["test.batchgate.io/keep"]}}`,
		"--as=system:serviceaccount:kube-system:generic-garbage-collector", "--as-group=system:masters")
	s.run("patch", "job", "pi", "--type=merge", `--patch={"metadata": {"finalizers": null}}`,
		"--as=system:serviceaccount:kube-system:generic-garbage-collector", "--as-group=system:masters")
}
