// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"

	"github.com/batchgate/batchgate/test/e2e/internal/session"
)

func TestChartUninstallLeavesOnlyVolumes(t *testing.T) {
	left := map[string][]string{
		"dedicated-etcd": {
			"persistentvolumeclaims batchgate-system/data-batchgate-etcd-0",
			"persistentvolumeclaims batchgate-system/data-batchgate-etcd-1",
			"persistentvolumeclaims batchgate-system/data-batchgate-etcd-2",
		},
		"standalone": {"persistentvolumeclaims batchgate-standalone/data-batchgate-standalone-0"},
	}
	for _, helm := range programs {
		for _, i := range installations {
			t.Run(helm.Name+"/"+i.Topology, func(t *testing.T) {
				createNamespace(t, i.Namespace())
				session.Eventually(t, "have the objects of the namespace", func() error {
					_, _, err := cluster.Kubectl().Run(t.Context(), "get", "serviceaccount/default", "configmap/kube-root-ca.crt", "--namespace="+i.Namespace())
					return err
				})
				before := allObjects(t)
				r := newRelease(t, helm, i.Namespace(), i.Values())
				r.install()
				want := left[i.Topology]
				session.Eventually(t, "have the volumes", func() error {
					return missing(allObjects(t), want)
				})
				r.run("uninstall")
				session.Eventually(t, "have all other objects deleted", func() error {
					after := slices.DeleteFunc(allObjects(t), func(object string) bool { return slices.Contains(before, object) })
					if diff := cmp.Diff(want, after, cmpopts.EquateEmpty()); diff != "" {
						return fmt.Errorf("remaining objects (-want +got):\n%s", diff)
					}
					return nil
				})
				deleteVolumes(t, i.Namespace())
			})
		}
	}
}

func missing(objects, want []string) error {
	for _, object := range want {
		if !slices.Contains(objects, object) {
			return fmt.Errorf("%s is missing", object)
		}
	}
	return nil
}

// allObjects returns the names of all objects in the cluster, sorted, except events and leases.
func allObjects(t *testing.T) []string {
	t.Helper()
	config := rest.CopyConfig(cluster.Config)
	config.WarningHandler = rest.NoWarnings{}
	client, err := metadata.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	// The API of the policies is unavailable, because the server does not run.
	_, lists, err := cluster.Client.Discovery().ServerGroupsAndResources()
	if err != nil && !discovery.IsGroupDiscoveryFailedError(err) {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, list := range lists {
		version, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			t.Fatal(err)
		}
		for _, resource := range list.APIResources {
			if !slices.Contains(resource.Verbs, "list") || resource.Name == "events" || resource.Name == "leases" || strings.Contains(resource.Name, "/") {
				continue
			}
			objects, err := client.Resource(version.WithResource(resource.Name)).List(t.Context(), metav1.ListOptions{})
			if err != nil {
				continue // some resources of test clusters are listed, but disabled
			}
			for _, object := range objects.Items {
				found[strings.TrimSpace(resource.Name+" "+object.Namespace+"/"+object.Name)] = true
			}
		}
	}
	names := make([]string, 0, len(found))
	for name := range found {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
