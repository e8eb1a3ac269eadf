// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"encoding/base64"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/batchgate/batchgate/pkg/pki"
	"github.com/batchgate/batchgate/test/chart"
	"github.com/batchgate/batchgate/test/framework"
)

func TestChartUpgradeChangesOnlyValues(t *testing.T) {
	const deployment = "Deployment batchgate-system/batchgate-apiserver"
	disabled := map[string]any{"enabled": false}
	for _, helm := range programs {
		t.Run(helm.Name, func(t *testing.T) {
			i := chart.Installation{Topology: "base", Components: []string{"audit", "cert-manager", "monitoring"}}
			createNamespace(t, framework.Namespace)
			r := newRelease(t, helm, framework.Namespace, i.Values())
			r.install()
			setCABundle(t)
			installed := r.stored()
			for _, step := range []struct {
				name    string
				changes map[string]any
				changed []string
			}{
				{"the same values", nil, nil},
				{"replicas", map[string]any{"replicas": 3}, []string{deployment, "PrometheusRule batchgate-system/batchgate-apiserver"}},
				{
					"servers", map[string]any{"etcd": map[string]any{"servers": []string{"https://other.invalid:2379"}}},
					[]string{"ConfigMap batchgate-system/batchgate-etcd", deployment},
				},
				{"fewer components", map[string]any{"audit": disabled, "monitoring": disabled}, []string{
					"ClusterRole /batchgate-prometheus", "ClusterRoleBinding /batchgate-prometheus",
					"ConfigMap batchgate-system/batchgate-audit-policy", "ConfigMap batchgate-system/batchgate-dashboard", deployment,
					"PrometheusRule batchgate-system/batchgate-apiserver", "Role batchgate-system/batchgate-prometheus",
					"RoleBinding batchgate-system/batchgate-prometheus", "ServiceMonitor batchgate-system/batchgate-apiserver",
				}},
			} {
				before := r.stored()
				if err := r.upgrade(step.changes); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(step.changed, chart.Changed(before, r.stored())); diff != "" {
					t.Errorf("changed objects after an upgrade with %s (-want +got):\n%s", step.name, diff)
				}
			}
			r.run("rollback", "1")
			if got := chart.Changed(installed, r.stored()); got != nil {
				t.Errorf("after a rollback to the first revision, these objects differ: %v", got)
			}
		})
	}
}

// setCABundle sets the CA of the policies' APIService as cert-manager or the plugin does.
func setCABundle(t *testing.T) {
	t.Helper()
	ca, _, err := pki.New("test")
	if err != nil {
		t.Fatal(err)
	}
	patch := `{"spec":{"caBundle":"` + base64.StdEncoding.EncodeToString(ca.CertPEM) + `"}}`
	if _, _, err := cluster.Kubectl().Run(t.Context(), "patch", "apiservice", "v1alpha1.policy.batchgate.io", "--type=merge", "--patch="+patch); err != nil {
		t.Fatal(err)
	}
}
