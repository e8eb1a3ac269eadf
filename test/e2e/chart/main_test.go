// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package chart tests the Helm chart in artifacts/chart on a real control plane: what the API
// server stores after an installation, an upgrade and an uninstallation, and all steps of an
// admin from the installation to the removal. The package test/chart compares what the chart renders.
//
// The tests share a cluster. They run one after another, because releases of the chart have the
// same cluster-scoped objects.
package chart

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/batchgate/batchgate/test/chart"
	"github.com/batchgate/batchgate/test/framework"
)

var (
	cluster  *framework.Cluster
	programs []chart.Helm
	// packaged is the package of the chart.
	packaged string
)

func TestMain(m *testing.M) {
	framework.Main(m, framework.MainOptions{
		Cluster:        &cluster,
		ClusterOptions: framework.ClusterOptions{EtcdTLS: true},
		Setup: func(ctx context.Context, directory string) (err error) {
			if programs, err = chart.Programs(ctx, cluster.Kubeconfig, directory); err != nil {
				return err
			}
			if packaged, err = packageChart(ctx, directory); err != nil {
				return err
			}
			if _, _, err := cluster.Kubectl().WithStdin(crds()).Run(ctx, "create", "--filename=-"); err != nil {
				return err
			}
			_, _, err = cluster.Kubectl().Run(ctx, "wait", "crd", "--all", "--for=condition=Established", "--timeout=60s")
			return err
		},
	})
}

func packageChart(ctx context.Context, directory string) (string, error) {
	if _, err := programs[0].Run(ctx, "", "package", "artifacts/chart", "--destination="+directory); err != nil {
		return "", err
	}
	files, err := filepath.Glob(filepath.Join(directory, "*.tgz"))
	if err != nil || len(files) != 1 {
		return "", fmt.Errorf("packages of the chart: %v, want one: %w", files, err)
	}
	return files[0], nil
}

// crds returns definitions of the custom resources that the chart can create, without schemas.
func crds() string {
	const crd = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: PLURAL.GROUP
spec:
  group: GROUP
  scope: Namespaced
  names: {kind: KIND, plural: PLURAL}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}
---`
	var all strings.Builder
	for _, resource := range [][3]string{
		{"monitoring.coreos.com", "ServiceMonitor", "servicemonitors"},
		{"monitoring.coreos.com", "PrometheusRule", "prometheusrules"},
		{"cert-manager.io", "Issuer", "issuers"},
		{"cert-manager.io", "Certificate", "certificates"},
	} {
		all.WriteString(strings.NewReplacer("GROUP", resource[0], "KIND", resource[1], "PLURAL", resource[2]).Replace(crd))
	}
	return all.String()
}
