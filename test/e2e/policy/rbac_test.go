// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"context"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/test/e2e/internal/session"
)

// bindClusterWide binds a user to a ClusterRole until the test ends.
func bindClusterWide(s session.Session, user, role string) {
	s.T.Helper()
	s.Run("create", "clusterrolebinding", user, "--clusterrole="+role, "--user="+user)
	s.T.Cleanup(func() {
		if err := cluster.Client.RbacV1().ClusterRoleBindings().Delete(context.Background(), user, metav1.DeleteOptions{}); err != nil {
			s.T.Error(err)
		}
	})
}

func TestPolicyPermissionsAreClusterWide(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	p := s.NewPolicy("permissions", session.Fields("spec.suspend"))
	create := []string{"create", "--filename=-"}
	status := []string{"patch", "jup", p.Name, "--subresource=status", "--type=merge", `--patch={"status": {"conditions": []}}`}
	expectForbidden := func(user session.Session, args []string, verb string) {
		t.Helper()
		user.WithStdin(session.Manifest(t, p)).ExpectError(args, "Forbidden", "cannot "+verb+` resource "jobupdatepolicies`)
	}

	stranger := s.As("stranger-" + s.Namespace)
	expectForbidden(stranger, []string{"get", "jup", "default"}, "get")
	expectForbidden(stranger, []string{"get", "jup"}, "list")
	expectForbidden(stranger, create, "create")

	inNamespace := "in-namespace-" + s.Namespace
	s.Run("create", "rolebinding", "admin", "--clusterrole=admin", "--user="+inNamespace)
	local := s.As(inNamespace)
	// Once this command succeeds, kube-apiserver knows the binding.
	local.RunEventually("get", "jobs")
	expectForbidden(local, []string{"get", "jup", "default"}, "get")
	expectForbidden(local, create, "create")

	for _, tc := range []struct {
		role     string
		mayWrite bool
	}{
		{"view", false},
		{"edit", false},
		{"admin", true},
	} {
		name := tc.role + "-" + s.Namespace
		bindClusterWide(s, name, tc.role)
		user := s.As(name)
		user.RunEventually("get", "jup", "default")
		user.Run("get", "jup")
		if !tc.mayWrite {
			expectForbidden(user, create, "create")
			expectForbidden(user, []string{"delete", "jup", "default"}, "delete")
			expectForbidden(user, []string{"patch", "jup", "default", "--type=merge", `--patch={"spec": {"fields": ["*"]}}`}, "patch")
			continue
		}
		s.DeletePolicyAfterTest(p.Name)
		user.WithStdin(session.Manifest(t, p)).Run(create...)
		user.Run("patch", "jup", p.Name, "--type=merge", `--patch={"spec": {"fields": ["spec.backoffLimit"]}}`)
		// Only the server writes the status.
		user.ExpectError(status, "Forbidden", `"jobupdatepolicies/status"`)
		user.Run("delete", "jup", p.Name)
	}
}
