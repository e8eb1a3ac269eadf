// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"context"
	"testing"

	"github.com/batchgate/batchgate/test/framework"
)

var programs []Helm

func TestMain(m *testing.M) {
	framework.Main(m, framework.MainOptions{Setup: func(ctx context.Context, directory string) (err error) {
		programs, err = Programs(ctx, "", directory)
		return err
	}})
}

func TestChartEqualsKustomize(t *testing.T) {
	for _, helm := range programs {
		for _, i := range Installations() {
			t.Run(helm.Name+"/"+i.Name(), func(t *testing.T) {
				t.Parallel()
				rendered, err := i.Kustomize(t.TempDir())
				if err != nil {
					t.Fatal(err)
				}
				kustomize, err := Parse(rendered)
				if err != nil {
					t.Fatal(err)
				}
				if diff := Diff(kustomize, render(t, helm, i.Namespace(), i.Values(), "--no-hooks")); diff != "" {
					t.Errorf("the chart (+) differs from the kustomization (-):\n%s", diff)
				}
			})
		}
	}
}

// The kustomizations have fixed namespaces. The chart must use the namespace of the release.
func TestChartUsesNamespace(t *testing.T) {
	for _, i := range Installations() {
		t.Run(i.Name(), func(t *testing.T) {
			t.Parallel()
			rendered, err := programs[0].Template(t.Context(), "elsewhere", i.Values())
			if err != nil {
				t.Fatal(err)
			}
			fixed := i.Namespace()
			if i.Topology == standalone {
				fixed = "." + fixed + ".svc" // the objects have the name of the namespace
			}
			if line := lineWith(rendered, fixed); line != "" {
				t.Errorf("in the namespace elsewhere, the chart renders: %s", line)
			}
			for key, object := range render(t, programs[0], "elsewhere", i.Values(), "--no-hooks") {
				switch object.GetNamespace() {
				case "", "elsewhere":
				case "kube-system":
					if key != "RoleBinding kube-system/batchgate-apiserver-authentication-reader" {
						t.Errorf("%s is not in the namespace of the release", key)
					}
				default:
					t.Errorf("%s is not in the namespace of the release", key)
				}
			}
		})
	}
}

// Only the plugin may change v1.batch.
func TestChartNeverContainsBatchAPIService(t *testing.T) {
	for _, i := range Installations() {
		for key := range render(t, programs[0], i.Namespace(), i.Values(), "--no-hooks") {
			if key == "APIService /v1.batch" {
				t.Errorf("%s contains v1.batch", i.Name())
			}
		}
	}
}

// render renders the chart, which must succeed.
func render(t *testing.T, helm Helm, namespace string, values map[string]any, args ...string) Objects {
	t.Helper()
	rendered, err := helm.Template(t.Context(), namespace, values, args...)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := Parse(rendered)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}
