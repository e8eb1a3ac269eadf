package core

import (
	"context"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// bindClusterWide binds a user to a cluster role for the time of the test.
func (s session) bindClusterWide(user, role string) {
	s.t.Helper()
	s.run("create", "clusterrolebinding", user, "--clusterrole="+role, "--user="+user)
	s.t.Cleanup(func() {
		if err := cluster.Client.RbacV1().ClusterRoleBindings().Delete(context.Background(), user, metav1.DeleteOptions{}); err != nil {
			s.t.Error(err)
		}
	})
}

func TestRightsOnPoliciesAreThoseOfRolesForTheWholeCluster(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	p := s.newPolicy("rights", fields("spec.suspend"))
	create := []string{"create", "--filename=-"}
	status := []string{"patch", "jup", p.Name, "--subresource=status", "--type=merge", `--patch={"status": {"conditions": []}}`}
	forbids := func(user session, args []string, verb string) {
		t.Helper()
		user.stdin(manifest(t, p)).refused(args, "Forbidden", "cannot "+verb+` resource "jobupdatepolicies`)
	}

	nobody := s.as("nobody-" + s.namespace)
	forbids(nobody, []string{"get", "jup", "default"}, "get")
	forbids(nobody, []string{"get", "jup"}, "list")
	forbids(nobody, create, "create")

	inNamespace := "in-namespace-" + s.namespace
	s.run("create", "rolebinding", "admin", "--clusterrole=admin", "--user="+inNamespace)
	local := s.as(inNamespace)
	// Once this works, the binding is known.
	local.granted("get", "jobs")
	forbids(local, []string{"get", "jup", "default"}, "get")
	forbids(local, create, "create")

	for _, tc := range []struct {
		role     string
		mayWrite bool
	}{
		{"view", false},
		{"edit", false},
		{"admin", true},
	} {
		name := tc.role + "-" + s.namespace
		s.bindClusterWide(name, tc.role)
		user := s.as(name)
		user.granted("get", "jup", "default")
		user.run("get", "jup")
		if !tc.mayWrite {
			forbids(user, create, "create")
			forbids(user, []string{"delete", "jup", "default"}, "delete")
			forbids(user, []string{"patch", "jup", "default", "--type=merge", `--patch={"spec": {"fields": ["*"]}}`}, "patch")
			continue
		}
		s.deletePolicyLater(p.Name)
		user.stdin(manifest(t, p)).run(create...)
		user.run("patch", "jup", p.Name, "--type=merge", `--patch={"spec": {"fields": ["spec.backoffLimit"]}}`)
		// What is in force is for the server to say.
		user.refused(status, "Forbidden", `"jobupdatepolicies/status"`)
		user.run("delete", "jup", p.Name)
	}
}
