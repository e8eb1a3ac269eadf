// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package ecosystem

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/test/framework"
)

// TestOfficialClients checks that calls of the official Python and JavaScript clients fail only if the
// gate denies them.
func TestOfficialClients(t *testing.T) {
	own, err := framework.StartTestCluster(t, cluster.Binaries(), framework.ClusterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := own.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := own.TakeOver(t.Context()); err != nil {
		t.Fatal(err)
	}
	clients := map[string]func(*testing.T) *exec.Cmd{"Python": pythonClient, "JavaScript": javaScriptClient}
	check := func(form string, denied map[string]string) {
		for language, command := range clients {
			t.Run(language+" "+form, func(t *testing.T) {
				want := map[string]string{}
				for _, step := range []string{"create", "watch", "strategic merge patch", "merge patch", "JSON patch", "apply", "replace", "delete"} {
					want[step] = "ok"
				}
				for step, result := range denied {
					want[step] = result
				}
				j := framework.Jobs{T: t, Client: own.Client, Timeout: waitTimeout}
				j.Namespace = j.CreateNamespace(metav1.ObjectMeta{GenerateName: "client-"})
				cmd := command(t)
				cmd.Args = append(cmd.Args, j.Namespace, "pi")
				cmd.Env = append(os.Environ(), "KUBECONFIG="+own.Kubeconfig)
				output, err := cmd.Output()
				if err != nil {
					if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
						t.Fatalf("%v: %s%s", err, output, exit.Stderr)
					}
					t.Fatal(err)
				}
				var got map[string]string
				if err := json.Unmarshal(output, &got); err != nil {
					t.Fatalf("%v: %s", err, output)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("results of the calls (-want +got):\n%s", diff)
				}
			})
		}
	}
	check("without a policy", map[string]string{
		"JSON patch": "422 spec.suspend",
		"apply":      `422 metadata.annotations["owner"]`,
		"replace":    "422 spec.activeDeadlineSeconds",
	})
	policy := `{"apiVersion":"policy.batchgate.io/v1alpha1","kind":"JobUpdatePolicy","metadata":{"name":"clients"},
"spec":{"fields":["spec.suspend","metadata.annotations","spec.activeDeadlineSeconds"]}}`
	if _, _, err := own.Kubectl().WithStdin(policy).Run(t.Context(), "create", "--filename=-"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := own.Kubectl().Run(t.Context(), "wait", "jup", "clients", "--for=condition=Ready", "--timeout=60s"); err != nil {
		t.Fatal(err)
	}
	check("with a policy", nil)
	if err := own.RollBack(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("after the rollback", nil)
}

// pythonClient needs Debian's package of the client, for Debian's Python.
func pythonClient(t *testing.T) *exec.Cmd {
	const python = "/usr/bin/python3"
	if err := exec.CommandContext(t.Context(), python, "-c", "import kubernetes").Run(); err != nil {
		t.Skip("needs a package: apt-get install python3-kubernetes")
	}
	return exec.CommandContext(t.Context(), python, "testdata/python/client.py")
}

// javaScriptClient installs the client beside the other tools, unless it is there.
func javaScriptClient(t *testing.T) *exec.Cmd {
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("needs Node.js and npm")
	}
	directory, err := installJavaScript(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return exec.CommandContext(t.Context(), "node", filepath.Join(directory, "client.js"))
}

func installJavaScript(ctx context.Context) (directory string, err error) {
	sources := os.DirFS("testdata/javascript")
	hash := sha256.New()
	for _, name := range []string{"package-lock.json", "client.js"} {
		content, err := os.ReadFile(filepath.Join("testdata/javascript", name))
		if err != nil {
			return "", err
		}
		hash.Write(content)
	}
	directory = filepath.Join(filepath.Dir(cluster.Binaries().Tools), fmt.Sprintf("javascript-%x", hash.Sum(nil)[:8]))
	if _, err := os.Stat(directory); err == nil {
		return directory, nil
	}
	temporary, err := os.MkdirTemp(filepath.Dir(directory), "javascript-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(temporary)
	if err := os.CopyFS(temporary, sources); err != nil {
		return "", err
	}
	npm := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	npm.Dir = temporary
	if output, err := npm.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm ci: %w: %s", err, output)
	}
	return directory, os.Rename(temporary, directory)
}
