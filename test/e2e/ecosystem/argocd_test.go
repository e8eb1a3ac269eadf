// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package ecosystem

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/alicebob/miniredis/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/batchgate/batchgate/test/framework"
)

const (
	argoCDNamespace = "argocd"
	// impersonatedNamespace is the namespace in the example policy for impersonation.
	impersonatedNamespace = "team-a"
)

// argoCDTools starts Argo CD's application controller and repository server. Applications in
// impersonatedNamespace are synced as another service account.
func argoCDTools(t *testing.T) []tool {
	tools, err := framework.BuildTools(t.Context(), "argocd")
	if err != nil {
		t.Fatal(err)
	}
	source, err := downloadModule(t.Context(), "argocd", "github.com/argoproj/argo-cd/v3")
	if err != nil {
		t.Fatal(err)
	}
	installArgoCD(t, source)
	redis, err := miniredis.Run()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(redis.Close)
	var ports [3]int
	for i := range ports {
		if ports[i], err = framework.FreePort(); err != nil {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(cluster.Dir, "argocd")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	kubeconfig := filepath.Join(dir, "kubeconfig")
	if err := cluster.WriteServiceAccountKubeconfig(t.Context(), argoCDNamespace, "argocd-application-controller", kubeconfig); err != nil {
		t.Fatal(err)
	}
	server, err := registerCluster(t, kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	run := func(r *toolRun) { runArgoCD(r, server) }
	t.Cleanup(func() { _ = os.Remove("/tmp/reposerver-ask-pass.sock") }) // its path cannot be changed
	binary, repoServer := filepath.Join(tools, "argocd"), fmt.Sprintf("127.0.0.1:%d", ports[0])
	for name, args := range map[string][]string{
		"argocd-repo-server": {
			"--address=127.0.0.1", fmt.Sprintf("--port=%d", ports[0]), "--disable-tls", "--redis=" + redis.Addr(),
			"--metrics-address=127.0.0.1", fmt.Sprintf("--metrics-port=%d", ports[1]),
		},
		"argocd-application-controller": {
			"--kubeconfig=" + kubeconfig, "--namespace=" + argoCDNamespace, "--redis=" + redis.Addr(),
			"--repo-server=" + repoServer, "--repo-server-plaintext", fmt.Sprintf("--metrics-port=%d", ports[2]),
		},
	} {
		env := []string{"ARGOCD_BINARY_NAME=" + name, "ARGOCD_GPG_ENABLED=false", "HOME=" + dir, "TMPDIR=" + dir, "KUBECONFIG=" + kubeconfig, binary}
		if _, err := cluster.StartController(name, "/usr/bin/env", append(env, args...)...); err != nil {
			t.Fatal(err)
		}
	}
	return []tool{
		{name: "Argo CD", version: source.Version, policy: examplePolicyFile("argo-cd"), run: run},
		{name: "Argo CD with impersonation", version: source.Version, policy: examplePolicyFile("argo-cd-impersonation"), namespace: impersonatedNamespace, run: run},
	}
}

// installArgoCD applies the released manifests without the Deployments and the StatefulSet, and then the
// configuration.
func installArgoCD(t *testing.T, source module) {
	t.Helper()
	manifests, err := os.ReadFile(filepath.Join(source.Dir, "manifests", "core-install.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := parseManifests(string(manifests))
	if err != nil {
		t.Fatal(err)
	}
	kubectl(t, "create", "namespace", argoCDNamespace)
	objects := parsed[:0]
	for _, o := range parsed {
		switch o["kind"] {
		case "CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding":
		case "StatefulSet":
			continue
		default:
			o["metadata"].(object)["namespace"] = argoCDNamespace
		}
		objects = append(objects, o)
	}
	applyObjects(t, objects)
	if _, _, err := cluster.Kubectl().WithStdin(argoCDProjects).Run(t.Context(), "apply", "--server-side", "--force-conflicts", "--filename=-"); err != nil {
		t.Fatal(err)
	}
	s := session{t: t, namespace: impersonatedNamespace}
	s.run("create", "serviceaccount", "argocd-deployer")
	s.run("apply", "--server-side", "--filename=artifacts/examples/rbac-argo-cd-impersonation.yaml")
	// The role in the example is for Jobs only, and the application has a ConfigMap, too.
	s.run("create", "role", "config-maps", "--verb=get,create,patch,update,delete", "--resource=configmaps")
	s.run("create", "rolebinding", "config-maps", "--role=config-maps", "--serviceaccount="+impersonatedNamespace+":argocd-deployer")
}

// registerCluster makes Argo CD use a kubeconfig for the cluster, because its controller does not run in a
// Pod. It returns the URL of the cluster.
func registerCluster(t *testing.T, kubeconfig string) (server string, err error) {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return "", err
	}
	ca, err := os.ReadFile(config.CAFile)
	if err != nil {
		return "", err
	}
	access, err := json.Marshal(object{"bearerToken": config.BearerToken, "tlsClientConfig": object{"caData": ca}})
	if err != nil {
		return "", err
	}
	_, err = cluster.Client.CoreV1().Secrets(argoCDNamespace).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "cluster", Labels: map[string]string{"argocd.argoproj.io/secret-type": "cluster"}},
		StringData: map[string]string{"name": "test", "server": config.Host, "config": string(access)},
	}, metav1.CreateOptions{})
	return config.Host, err
}

// argoCDProjects are Argo CD's configuration, and its default project, which names the service account of a
// sync for each namespace.
const argoCDProjects = `
apiVersion: v1
kind: ConfigMap
metadata: {name: argocd-cm, namespace: argocd, labels: {app.kubernetes.io/part-of: argocd}}
data: {application.sync.impersonation.enabled: "true"}
---
apiVersion: argoproj.io/v1alpha1
kind: AppProject
metadata: {name: default, namespace: argocd}
spec:
  sourceRepos: ["*"]
  destinations: [{server: "*", namespace: "*"}]
  destinationServiceAccounts:
  - {server: "*", namespace: team-a, defaultServiceAccount: argocd-deployer}
  - {server: "*", namespace: "*", defaultServiceAccount: "argocd:argocd-application-controller"}
`
