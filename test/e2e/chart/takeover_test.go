// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/batchgate/batchgate/test/chart"
	"github.com/batchgate/batchgate/test/e2e/internal/session"
	"github.com/batchgate/batchgate/test/framework"
)

const job = `
apiVersion: batch/v1
kind: Job
metadata: {name: pi}
spec:
  suspend: true
  parallelism: %d
  template:
    spec:
      restartPolicy: Never
      containers: [{name: pi, image: "example.com/work:1"}]
`

// An admin installs, takes over, grants kubectl apply, tries to uninstall too early, rolls back and
// uninstalls.
func TestChartFromInstallToUninstall(t *testing.T) {
	createNamespace(t, framework.Namespace)
	port, err := framework.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	r := newRelease(t, programs[0], framework.Namespace, map[string]any{
		"image": map[string]any{"repository": framework.Name},
		"etcd":  map[string]any{"servers": []string{cluster.EtcdTLSURL()}},
	})
	r.chart = localChart(t, port)
	// The first revision has a different topology. checkDenied tries to roll back to it.
	first := *r
	first.values = map[string]any{"topology": "dedicated-etcd"}
	first.install()
	t.Cleanup(func() { deleteVolumes(t, framework.Namespace) })
	if err := r.upgrade(nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.RollBack(context.Background()); err != nil {
			t.Error(err)
		}
		if cluster.Batchgate != nil {
			if err := cluster.Batchgate.Stop(); err != nil {
				t.Error(err)
			}
		}
		if _, _, err := cluster.Kubectl().Run(context.Background(), "delete", "secret", "--all", "--namespace="+framework.Namespace); err != nil {
			t.Error(err)
		}
	})
	admin := session.Session{T: t, Cluster: cluster, Kubectl: cluster.Kubectl(), Namespace: "default"}
	if err := cluster.CreateEtcdClientSecret(t.Context()); err != nil {
		t.Fatal(err)
	}
	admin.ExpectPlugin(0, []string{"certificates"}, "CA in v1alpha1.policy.batchgate.io added")
	if err := cluster.RunDeployment(t.Context(), port); err != nil {
		t.Fatal(err)
	}
	if err := cluster.WaitForPolicyAPI(t.Context()); err != nil {
		t.Fatal(err)
	}
	admin.ExpectPlugin(0, []string{"takeover"}, "v1.batch points to")

	apply := func(parallelism int) error {
		_, _, err := admin.WithStdin(fmt.Sprintf(job, parallelism)).Try("apply", "--filename=-")
		return err
	}
	if err := apply(1); err != nil {
		t.Fatal(err)
	}
	if err := apply(2); err == nil || !strings.Contains(err.Error(), `metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"]: Forbidden`) {
		t.Errorf("kubectl apply without the policy: %v, want a denial", err)
	}
	enabled := map[string]any{"kubectlApply": map[string]any{"enabled": true}}
	if err := r.upgrade(enabled); err != nil {
		t.Fatal(err)
	}
	admin.Eventually("apply with the policy", func() error { return apply(2) })
	admin.ExpectError([]string{"annotate", "job", "pi", "a=b"}, "may not be updated")
	checkPolicyStays(t, admin, r)
	checkDenied(t, r)

	admin.ExpectPlugin(0, []string{"rollback"}, "v1.batch points to kube-apiserver")
	if err := session.CheckPermissions(cluster); err != nil {
		t.Error(err)
	}
	r.run("uninstall")
	admin.WithoutDiscoveryCache().Run("annotate", "job", "pi", "a=b")
	admin.Run("delete", "job", "pi")
}

// checkPolicyStays checks that an upgrade keeps an unmodified policy, and restores one that was edited.
func checkPolicyStays(t *testing.T, admin session.Session, r *release) {
	t.Helper()
	const name = "batchgate-kubectl-apply"
	uid := admin.PolicyField(name, ".metadata.uid")
	if err := r.upgrade(nil); err != nil {
		t.Fatal(err)
	}
	if got := admin.PolicyField(name, ".metadata.uid"); got != uid {
		t.Errorf("an upgrade with the same values recreated the policy")
	}
	admin.Run("patch", "jup", name, "--type=merge", `--patch={"spec":{"fields":["spec.suspend"]}}`)
	if err := r.upgrade(nil); err != nil {
		t.Fatal(err)
	}
	if got := admin.PolicyField(name, ".spec.fields[*]"); !strings.Contains(got, "last-applied-configuration") {
		t.Errorf("after an upgrade, the policy still has the fields %s", got)
	}
}

// checkDenied checks that Helm neither uninstalls Batchgate nor changes its topology while v1.batch points
// to it, and that trying changes nothing.
func checkDenied(t *testing.T, r *release) {
	t.Helper()
	const advice = `first run "kubectl batchgate rollback"`
	other := map[string]any{"topology": "dedicated-etcd", "etcd": map[string]any{"servers": []string{}}}
	manifest, before := r.run("get manifest"), r.stored()
	for _, helm := range programs {
		attempt := *r
		attempt.helm = helm
		if _, err := attempt.try("uninstall"); err == nil || !strings.Contains(err.Error(), advice) {
			t.Fatalf("uninstallation: %v, want an error that names the rollback", err)
		}
		if err := attempt.upgrade(other); err == nil || !strings.Contains(err.Error(), "topology: must stay base") || !strings.Contains(err.Error(), advice) {
			t.Fatalf("upgrade to another topology: %v, want an error that names the rollback", err)
		}
		if status := attempt.status(); status != "deployed" {
			t.Errorf("after denied commands of %s the release is %s, want deployed", helm.Name, status)
		}
		if _, err := attempt.try("rollback", "1"); err == nil || !strings.Contains(err.Error(), "the topology must stay base") || !strings.Contains(err.Error(), advice) {
			t.Fatalf("rollback to another topology: %v, want an error that names the rollback of v1.batch", err)
		}
		// Helm leaves the release in the state pending-rollback.
		attempt.run("rollback", "2")
	}
	if err := r.upgrade(map[string]any{"replicas": 3}); err != nil {
		t.Errorf("upgrade to the same topology: %v", err)
	}
	if err := r.upgrade(map[string]any{"replicas": 2}); err != nil {
		t.Errorf("upgrade to the same topology: %v", err)
	}
	if diff := chart.Changed(before, stored(t, manifest)); diff != nil {
		t.Errorf("denied commands changed %v", diff)
	}
}

// localChart returns a copy of the chart whose Service leads to a port of this machine, because
// no kube-proxy and no kubelet runs.
func localChart(t *testing.T, port int) string {
	t.Helper()
	root, err := framework.Root()
	if err != nil {
		t.Fatal(err)
	}
	directory := t.TempDir()
	// The chart has links to other directories of artifacts.
	if err := os.CopyFS(directory, os.DirFS(filepath.Join(root, "artifacts"))); err != nil {
		t.Fatal(err)
	}
	templates := filepath.Join(directory, "chart", "templates")
	replace := func(file, from, to string) {
		path := filepath.Join(templates, file)
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Count(string(content), from) != 1 {
			t.Fatalf("%s does not contain this once: %s", file, from)
		}
		if err := os.WriteFile(path, []byte(strings.Replace(string(content), from, to, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	replace("service.yaml", "spec:\n", "spec:\n  type: ExternalName\n  externalName: localhost\n")
	// Allow loopback addresses of etcd, because a Pod is a process on this machine here.
	replace("_validate.tpl", `(localhost|127\\.[0-9.]+|\\[::1\\])`, "unused")
	replace("apiservice.yaml", "port: 443", fmt.Sprintf("port: %d", port))
	return filepath.Join(directory, "chart")
}
