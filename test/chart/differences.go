// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"maps"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// The functions in this file remove the intended differences between the chart and the
// kustomizations. Everything else must be equal.

const nameLabel = "app.kubernetes.io/name"

// removeKustomizeDifferences removes from the objects of kustomizations:
//
//   - The Namespace. Helm creates it, if at all, before it renders the chart.
//   - The placeholder of the CA, which users replace. With the chart, the plugin adds the CA.
func removeKustomizeDifferences(objects Objects) {
	maps.DeleteFunc(objects, func(_ string, object *unstructured.Unstructured) bool { return object.GetKind() == "Namespace" })
	for _, object := range objects {
		if caBundle, _, _ := unstructured.NestedString(object.Object, "spec", "caBundle"); caBundle == "CA_BUNDLE" {
			unstructured.RemoveNestedField(object.Object, "spec", "caBundle")
		}
	}
}

// removeChartDifferences removes from the objects of the chart:
//
//   - The checks before an uninstallation or rollback, which only Helm makes.
//   - The usual labels of charts. One of them is app.kubernetes.io/name, which not all objects of
//     the kustomizations have.
//   - Annotations with checksums of ConfigMaps, which make the Deployment replace its Pods after a
//     change. Kustomize adds a hash to the name of the ConfigMap instead; see withoutHashes.
func removeChartDifferences(objects, kustomize Objects) {
	maps.DeleteFunc(objects, func(_ string, object *unstructured.Unstructured) bool {
		name := object.GetName()
		return name == "batchgate-release-check" || name == "batchgate-uninstall-check" || name == "batchgate-rollback-check"
	})
	for key, object := range objects {
		labels := object.GetLabels()
		for _, label := range []string{"app.kubernetes.io/instance", "app.kubernetes.io/version", "app.kubernetes.io/managed-by", "helm.sh/chart"} {
			delete(labels, label)
		}
		if counterpart := kustomize[key]; counterpart != nil && counterpart.GetLabels()[nameLabel] == "" {
			delete(labels, nameLabel)
		}
		setOrRemove(object.Object, labels, "metadata", "labels")
		path := []string{"spec", "template", "metadata", "annotations"}
		if annotations, found, _ := unstructured.NestedStringMap(object.Object, path...); found {
			maps.DeleteFunc(annotations, func(name, _ string) bool { return strings.HasPrefix(name, "checksum/") })
			setOrRemove(object.Object, annotations, path...)
		}
	}
}

// hashedName matches the name of a ConfigMap with the hash that kustomize adds.
var hashedName = regexp.MustCompile(`\b(batchgate-etcd|batchgate-audit-policy)-[a-z0-9]{10}\b`)

func withoutHashes(rendered string) string { return hashedName.ReplaceAllString(rendered, "$1") }

// setOrRemove sets a field, or removes it if the value is empty.
func setOrRemove(object map[string]any, value map[string]string, path ...string) {
	if len(value) == 0 {
		unstructured.RemoveNestedField(object, path...)
		return
	}
	if err := unstructured.SetNestedStringMap(object, value, path...); err != nil {
		panic(err) // the parents of the field exist
	}
}
