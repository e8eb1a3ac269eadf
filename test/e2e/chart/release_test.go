// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/batchgate/batchgate/test/chart"
)

// release is a release of the chart that one test installs.
type release struct {
	t    *testing.T
	helm chart.Helm
	// chart is a file or directory.
	chart     string
	namespace string
	values    map[string]any
}

// newRelease prepares a release of the chart. After the test, it uninstalls the
// release if the test has not done so.
func newRelease(t *testing.T, helm chart.Helm, namespace string, values map[string]any) *release {
	t.Helper()
	r := &release{t: t, helm: helm, chart: packaged, namespace: namespace, values: values}
	t.Cleanup(func() {
		if _, err := r.helm.Run(context.Background(), "", "uninstall", chart.Release, "--namespace="+namespace, "--ignore-not-found"); err != nil {
			t.Error(err)
		}
	})
	return r
}

// run runs a command of helm for the release, which must succeed, and returns its output.
func (r *release) run(command string, args ...string) string {
	r.t.Helper()
	stdout, err := r.try(command, args...)
	if err != nil {
		r.t.Fatal(err)
	}
	return stdout
}

func (r *release) try(command string, args ...string) (string, error) {
	return r.helm.Run(r.t.Context(), "", slices.Concat(strings.Fields(command), []string{chart.Release, "--namespace=" + r.namespace}, args)...)
}

// install installs the release and returns the notes.
func (r *release) install() string {
	r.t.Helper()
	return r.run("install", r.chart, "--create-namespace", "--values="+r.valuesFile())
}

// upgrade changes values of the release.
func (r *release) upgrade(changes map[string]any) error {
	r.t.Helper()
	merged := maps.Clone(r.values)
	maps.Copy(merged, changes)
	previous := r.values
	r.values = merged
	_, err := r.try("upgrade", r.chart, "--values="+r.valuesFile())
	if err != nil {
		r.values = previous
	}
	return err
}

func (r *release) valuesFile() string {
	r.t.Helper()
	content, err := yaml.Marshal(r.values)
	if err != nil {
		r.t.Fatal(err)
	}
	file := filepath.Join(r.t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		r.t.Fatal(err)
	}
	return file
}

// status returns the status of the last revision, such as deployed.
func (r *release) status() string {
	r.t.Helper()
	var status struct{ Info struct{ Status string } }
	if err := json.Unmarshal([]byte(r.run("status", "--output=json")), &status); err != nil {
		r.t.Fatal(err)
	}
	return status.Info.Status
}

// stored returns the objects of the release as the API server stores them.
func (r *release) stored() chart.Objects {
	r.t.Helper()
	return stored(r.t, r.run("get manifest"))
}

// stored returns the objects in a manifest as the API server stores them, without the fields that the
// API server, Helm and controllers add.
func stored(t *testing.T, manifest string) chart.Objects {
	t.Helper()
	stdout, _, err := cluster.Kubectl().WithStdin(manifest).Run(t.Context(), "get", "--filename=-", "--output=json")
	if err != nil {
		t.Fatal(err)
	}
	var list unstructured.UnstructuredList
	if err := json.Unmarshal([]byte(stdout), &list); err != nil {
		t.Fatal(err)
	}
	objects := chart.Objects{}
	for i := range list.Items {
		object := &list.Items[i]
		for _, path := range [][]string{
			{"status"},
			{"metadata", "uid"}, {"metadata", "resourceVersion"}, {"metadata", "generation"}, {"metadata", "creationTimestamp"},
			{"metadata", "managedFields"}, {"spec", "clusterIP"}, {"spec", "clusterIPs"},
		} {
			unstructured.RemoveNestedField(object.Object, path...)
		}
		annotations := object.GetAnnotations()
		maps.DeleteFunc(annotations, func(name, _ string) bool {
			switch name {
			case "meta.helm.sh/release-name", "meta.helm.sh/release-namespace", "deployment.kubernetes.io/revision":
				return true
			}
			return false
		})
		if object.SetAnnotations(annotations); len(annotations) == 0 {
			object.SetAnnotations(nil)
		}
		objects[chart.Key(object)] = object
	}
	return objects
}

// createNamespace creates a namespace unless it exists.
func createNamespace(t *testing.T, name string) {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	_, err := cluster.Client.CoreV1().Namespaces().Create(t.Context(), namespace, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
}
