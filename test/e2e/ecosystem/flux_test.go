// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package ecosystem

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/test/framework"
)

// fluxNamespace and kustomizeController are where Flux installs kustomize-controller, and its name.
const (
	fluxNamespace       = "flux-system"
	kustomizeController = "kustomize-controller"
)

// sourceModule has the CRDs of Flux's sources. It is of the same release as kustomize-controller.
const sourceModule = "github.com/fluxcd/source-controller@v1.9.6"

// flux is Flux's kustomize-controller. The test itself is the source of its manifests: it maintains an
// ExternalArtifact, which Flux has for that. source-controller never changes Jobs.
type flux struct {
	server *httptest.Server
	mu     sync.Mutex
	// artifacts holds the archives by the path of their URL.
	artifacts map[string][]byte
}

// fluxTools starts kustomize-controller.
func fluxTools(t *testing.T) []tool {
	tools, err := framework.BuildTools(t.Context(), "flux")
	if err != nil {
		t.Fatal(err)
	}
	controller, err := downloadModule(t.Context(), "flux", "github.com/fluxcd/"+kustomizeController)
	if err != nil {
		t.Fatal(err)
	}
	sources, err := downloadModule(t.Context(), "flux", sourceModule)
	if err != nil {
		t.Fatal(err)
	}
	for _, directory := range []string{controller.Dir, sources.Dir} {
		kubectl(t, "apply", "--server-side", "--kustomize="+filepath.Join(directory, "config", "crd"))
	}
	kubectl(t, "create", "namespace", fluxNamespace)
	kubectl(t, "create", "serviceaccount", kustomizeController, "--namespace="+fluxNamespace)
	kubectl(t, "create", "clusterrolebinding", "cluster-reconciler", "--clusterrole=cluster-admin", "--serviceaccount="+fluxNamespace+":"+kustomizeController)
	kubectl(t, "wait", "crd", "--all", "--for=condition=Established", "--timeout=110s")
	kubeconfig := filepath.Join(cluster.Dir, "flux.kubeconfig")
	if err := cluster.WriteServiceAccountKubeconfig(t.Context(), fluxNamespace, kustomizeController, kubeconfig); err != nil {
		t.Fatal(err)
	}
	if _, err := cluster.StartController(kustomizeController, "/usr/bin/env", "KUBECONFIG="+kubeconfig, "RUNTIME_NAMESPACE="+fluxNamespace, "TMPDIR="+cluster.Dir,
		filepath.Join(tools, kustomizeController), "--metrics-addr=0", "--health-addr=127.0.0.1:0", "--feature-gates=ExternalArtifact=true", "--interval-jitter-percentage=0"); err != nil {
		t.Fatal(err)
	}
	f := &flux{artifacts: map[string][]byte{}}
	f.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		defer f.mu.Unlock()
		if content, ok := f.artifacts[r.URL.Path]; ok {
			_, _ = w.Write(content)
			return
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(f.server.Close)
	return []tool{{name: "Flux kustomize-controller", version: controller.Version, policy: examplePolicyFile("flux"), run: f.run}}
}

// run changes the manifests of a Kustomization.
func (f *flux) run(r *toolRun) {
	r.t.Helper()
	r.create(fmt.Sprintf(fluxObjects, r.namespace))
	job := func(name string, parallelism int32, changes ...func(*batchv1.Job)) string {
		return manifest(r.t, toolJob(name, parallelism, changes...))
	}
	suspended := func(j *batchv1.Job) { j.Spec.Suspend = new(true) }
	forced := func(j *batchv1.Job) {
		j.Annotations["kustomize.toolkit.fluxcd.io/force"] = "Enabled"
		j.Spec.Template.Spec.Containers[0].Image = "example.com/work:2"
	}
	const first, second = `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"first"}}`, `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"second"}}`
	r.record("create a Job and a ConfigMap", f.sync(r, job("report", 1), first))
	r.record("change `parallelism`", f.sync(r, job("report", 2), first))
	r.record("change `suspend`, and add a ConfigMap", f.sync(r, job("report", 2, suspended), first, second))
	added := "no"
	if r.run("get", "configmap", "second", "--ignore-not-found") != "" {
		added = "yes"
	}
	r.recordResult("is that ConfigMap created?", added)
	before := r.job("report").UID
	r.record("change the image, with `force`", f.sync(r, job("report", 2, forced), first))
	recreated := "no"
	if r.job("report").UID != before {
		recreated = "yes"
	}
	r.recordResult("is that Job deleted and created again?", recreated)
	if _, _, err := cluster.Kubectl().WithStdin(job("applied", 1)).Run(r.t.Context(), "--namespace="+r.namespace, "apply", "--filename=-"); err != nil {
		r.t.Fatal(err)
	}
	r.record("take over a Job that `kubectl apply` has created", f.sync(r, job("report", 2, forced), job("applied", 1), first))
	r.record("remove a Job", f.sync(r, first))
	if err := r.checkGone("report"); err != nil {
		r.t.Error(err)
	}
	r.run("delete", "kustomization", "app")
}

// fluxObjects is a Kustomization, and the source of its manifests.
const fluxObjects = `
apiVersion: source.toolkit.fluxcd.io/v1
kind: ExternalArtifact
metadata: {name: app}
spec: {sourceRef: {apiVersion: v1, kind: ConfigMap, name: unused}}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: app}
spec:
  interval: 1h
  retryInterval: 1h
  timeout: 1m
  prune: true
  targetNamespace: %s
  sourceRef: {kind: ExternalArtifact, name: app}
`

// sync publishes manifests and waits until Flux has applied them. The error is the one in the status of
// the Kustomization.
func (f *flux) sync(r *toolRun, manifests ...string) error {
	r.t.Helper()
	archive, err := tarGz("manifests.yaml", strings.Join(manifests, "\n---\n"))
	if err != nil {
		r.t.Fatal(err)
	}
	digest := fmt.Sprintf("sha256:%x", sha256.Sum256(archive))
	path := "/" + r.namespace + "/" + digest
	f.mu.Lock()
	f.artifacts[path] = archive
	f.mu.Unlock()
	status, err := json.Marshal(object{"status": object{"artifact": object{
		"digest": digest, "revision": digest, "path": path, "url": f.server.URL + path, "lastUpdateTime": metav1.Now(),
	}}})
	if err != nil {
		r.t.Fatal(err)
	}
	r.run("patch", "externalartifact", "app", "--subresource=status", "--type=merge", "--patch="+string(status))
	var result error
	r.eventually("have the manifests applied by Flux", func() error {
		var kustomization struct {
			Status struct {
				Conditions                                 []metav1.Condition
				LastAttemptedRevision, LastAppliedRevision string
			}
		}
		if err := json.Unmarshal([]byte(r.run("get", "kustomization", "app", "--output=json")), &kustomization); err != nil {
			return err
		}
		ready := meta.FindStatusCondition(kustomization.Status.Conditions, "Ready")
		switch {
		case ready == nil || kustomization.Status.LastAttemptedRevision != digest || ready.Status == metav1.ConditionUnknown:
			return fmt.Errorf("its status is %+v", kustomization.Status)
		case ready.Status == metav1.ConditionFalse:
			result = errors.New(ready.Message)
			return nil
		case kustomization.Status.LastAppliedRevision != digest:
			return fmt.Errorf("its status is %+v", kustomization.Status)
		}
		return nil
	})
	return result
}

// tarGz returns a compressed archive with one file.
func tarGz(name, content string) ([]byte, error) {
	var b bytes.Buffer
	compressed := gzip.NewWriter(&b)
	archive := tar.NewWriter(compressed)
	if err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(content))}); err != nil {
		return nil, err
	}
	if _, err := archive.Write([]byte(content)); err != nil {
		return nil, err
	}
	if err := errors.Join(archive.Close(), compressed.Close()); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
