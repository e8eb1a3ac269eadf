// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/batchgate/batchgate/test/e2e/internal/session"
	"github.com/batchgate/batchgate/test/framework"
)

// Users without rights on policies ask through kube-apiserver what they may change.
func TestReviewForUserWithoutRights(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	s.CreateJob(session.NewJob("render"))
	name := "reader-" + s.Namespace
	p := s.NewPolicy("review", session.Fields("spec.suspend", `metadata.annotations["example.com/*"]`), session.Subjects(userSubject(name)))
	s.CreatePolicy(p)
	s.Run("create", "role", "reader", "--verb=get,list,patch", "--resource=jobs.batch")
	s.Run("create", "rolebinding", "reader", "--role=reader", "--user="+name)
	user := s.As(name)
	user.RunEventually("get", "jobs")
	user.ExpectError([]string{"get", "jup"}, "Forbidden")

	ask := func(args ...string) []string {
		return append([]string{"can-update", "--namespace=" + s.Namespace}, args...)
	}
	s.WithStdin("").ExpectPlugin(0, ask("render", "--as="+name), "spec.suspend") // an admin may impersonate
	listed := user.ExpectPlugin(0, ask("job/render"), "metadata.labels", "spec.suspend", `metadata.annotations["example.com/*"]`, p.Name)
	if strings.Contains(listed, "*\n") {
		t.Errorf("the user may not change everything:\n%s", listed)
	}
	user.ExpectPlugin(0, ask("render", "--field=spec.suspend", "--field=spec.parallelism"), "Allow")
	user.ExpectPlugin(1, ask("render", "--field=spec.suspend", "--field=spec.backoffLimit"), "no JobUpdatePolicy grants it", "an update may not change spec.backoffLimit")
	user.ExpectPlugin(0, ask("--labels=app=web", "--field=spec.suspend"), "Allow")
	user.ExpectPlugin(2, ask("render", "--field=spec.supend"), "spec.suspend")
	user.ExpectPlugin(2, ask("none"), `jobs.batch "none" not found`)

	viewer := s.As("viewer-" + s.Namespace)
	s.Run("create", "rolebinding", "viewer", "--clusterrole=view", "--user=viewer-"+s.Namespace)
	viewer.RunEventually("get", "jobs")
	viewer.ExpectPlugin(1, ask("render", "--field=spec.parallelism"), "Allow", "RBAC does not let you update this Job")

	stranger := s.As("stranger-" + s.Namespace)
	stranger.ExpectPlugin(2, ask("render"), `cannot get resource "jobs"`)
	stranger.ExpectPlugin(0, ask(), "metadata.labels", "warning: RBAC does not let you")
	// Reviews do not tell which namespaces exist.
	stranger.ExpectPlugin(0, []string{"can-update", "--namespace=none-" + s.Namespace}, "metadata.labels")
	other := `{"apiVersion": "policy.batchgate.io/v1alpha1", "kind": "JobUpdateReview", "spec": {"user": "` + name + `", "job": {"name": "render"}, "fields": ["spec.suspend"]}}`
	// To validate a kind that can only be created, kubectl lists the custom resources, also for upstream's reviews.
	create := []string{"create", "--filename=-", "--validate=false", "--output=jsonpath={.status.fields[0].decision}"}
	user.WithStdin(other).ExpectError(create, "Forbidden", `cannot create resource "jobupdatereviews"`)

	// The permission to ask about others does not include the one to get the Job.
	s.Run("create", "rolebinding", "reviewer", "--clusterrole=batchgate-review", "--user=stranger-"+s.Namespace)
	stranger.WithStdin(strings.Replace(other, `"job": {"name": "render"}`, `"job": {}`, 1)).RunEventually(create...)
	stranger.WithStdin(other).ExpectError(create, "Forbidden", `cannot get resource "jobs"`)
	if got := s.WithStdin(other).Run(create...); got != "Allow" {
		t.Errorf("an admin's review of the user says %q", got)
	}
	if got := user.Run("explain", "selfjobupdatereview.spec.fields"); !strings.Contains(got, "path patterns to check") {
		t.Errorf("kubectl explain says\n%s", got)
	}
}

func TestKubectlCompletesFields(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	root, err := framework.Root()
	if err != nil {
		t.Fatal(err)
	}
	path := strings.Join([]string{s.PluginDir(), filepath.Join(root, "cmd", "kubectl-batchgate"), os.Getenv("PATH")}, string(os.PathListSeparator))
	stdout, _, err := s.Kubectl.WithEnv("PATH", path).Run(t.Context(), "__complete", "batchgate", "can-update", "--field", "spec.susp")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(strings.Split(stdout, "\n"), "spec.suspend") {
		t.Errorf("kubectl completes --field with:\n%s", stdout)
	}
}
