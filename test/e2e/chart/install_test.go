// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"context"
	"strings"
	"testing"

	"github.com/batchgate/batchgate/test/chart"
	"github.com/batchgate/batchgate/test/e2e/internal/session"
)

// installations are the topologies with all components that they support. batch-etcd has the
// objects of base.
var installations = []chart.Installation{
	{Topology: "base", Components: []string{"audit", "cert-manager", "monitoring"}},
	{Topology: "dedicated-etcd", Components: []string{"audit", "cert-manager", "monitoring"}},
	{Topology: "shared-etcd", Components: []string{"cert-manager", "monitoring"}},
	{Topology: "standalone"},
}

// The API server sets defaults and may drop fields, so the test compares the stored objects, not
// only the rendered ones.
func TestChartStoresKustomizeObjects(t *testing.T) {
	for _, i := range installations {
		t.Run(i.Topology, func(t *testing.T) {
			createNamespace(t, i.Namespace())
			r := newRelease(t, programs[0], i.Namespace(), i.Values())
			r.install()
			fromChart := r.stored()
			r.run("uninstall")
			deleteVolumes(t, i.Namespace())

			rendered, err := i.Kustomize(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { deleteRendered(t, rendered, i.Namespace()) })
			if _, _, err := cluster.Kubectl().WithStdin(rendered).Run(t.Context(), "apply", "--server-side", "--filename=-"); err != nil {
				t.Fatal(err)
			}
			if diff := chart.Diff(stored(t, rendered), fromChart); diff != "" {
				t.Errorf("what the API server stores for the chart (+) differs from the kustomization (-):\n%s", diff)
			}
		})
	}
}

// deleteRendered deletes the objects of a kustomization, except the Namespace.
func deleteRendered(t *testing.T, rendered, namespace string) {
	var objects []string
	for document := range strings.SplitSeq(rendered, "\n---\n") {
		if !strings.Contains(document, "kind: Namespace\n") {
			objects = append(objects, document)
		}
	}
	if _, _, err := cluster.Kubectl().WithStdin(strings.Join(objects, "\n---\n")).Run(context.Background(), "delete", "--filename=-"); err != nil {
		t.Error(err)
	}
	deleteVolumes(t, namespace)
}

// deleteVolumes deletes the volumes that a StatefulSet has left.
func deleteVolumes(t *testing.T, namespace string) {
	t.Helper()
	if _, _, err := cluster.Kubectl().Run(context.Background(), "delete", "pvc", "--all", "--namespace="+namespace); err != nil {
		t.Error(err)
	}
}

// An installation in another namespace needs only the plugin's flag --service-namespace.
func TestChartInstallsInOtherNamespace(t *testing.T) {
	const namespace = "elsewhere"
	i := chart.Installation{Topology: "dedicated-etcd"}
	r := newRelease(t, programs[0], namespace, i.Values())
	t.Cleanup(func() { deleteVolumes(t, namespace) })
	notes := r.install()
	command := "certificates --etcd --service-namespace=" + namespace
	if !strings.Contains(notes, "kubectl batchgate "+command+"\n") {
		t.Errorf("the notes do not contain kubectl batchgate %s:\n%s", command, notes)
	}
	s := session.Session{T: t, Cluster: cluster, Kubectl: cluster.Kubectl(), Namespace: namespace}
	s.ExpectPlugin(0, strings.Fields(command), "CA in v1alpha1.policy.batchgate.io added")
	for _, secret := range []string{"batchgate-serving", "batchgate-etcd-member", "batchgate-etcd-client"} {
		s.Run("get", "secret", secret)
	}
}
