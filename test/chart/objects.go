// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/batchgate/batchgate/test/framework"
)

// Objects are objects by kind, namespace and name.
type Objects map[string]*unstructured.Unstructured

// Parse returns the objects in YAML documents. It fails if two objects have the same name.
func Parse(documents string) (Objects, error) {
	objects := Objects{}
	reader := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(documents)))
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		object := &unstructured.Unstructured{}
		if err := yaml.UnmarshalStrict(document, &object.Object); err != nil {
			return nil, fmt.Errorf("parsing an object: %w:\n%s", err, document)
		}
		if len(object.Object) == 0 {
			continue
		}
		if objects[Key(object)] != nil {
			return nil, fmt.Errorf("%s is rendered twice", Key(object))
		}
		objects[Key(object)] = object
	}
}

// Key returns the kind, namespace and name of an object.
func Key(object *unstructured.Unstructured) string {
	return fmt.Sprintf("%s %s/%s", object.GetKind(), object.GetNamespace(), object.GetName())
}

// Diff returns the unintended differences between objects of the kustomizations (-) and of the
// chart (+). It changes the objects.
func Diff(kustomize, chart Objects) string {
	removeKustomizeDifferences(kustomize)
	removeChartDifferences(chart, kustomize)
	var diff strings.Builder
	for _, key := range Changed(kustomize, chart) {
		fmt.Fprintf(&diff, "%s\n%s", key, framework.DiffLines(kustomize.manifest(key), chart.manifest(key)))
	}
	return diff.String()
}

// Changed returns the keys of the objects that were added, removed or changed, sorted.
func Changed(before, after Objects) []string {
	all := maps.Clone(before)
	maps.Copy(all, after)
	var keys []string
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if !equality.Semantic.DeepEqual(before[key], after[key]) {
			keys = append(keys, key)
		}
	}
	return keys
}

// manifest returns an object as YAML, or an empty string if it is missing.
func (o Objects) manifest(key string) string {
	if o[key] == nil {
		return ""
	}
	content, err := yaml.Marshal(o[key])
	if err != nil {
		return err.Error()
	}
	return string(content)
}
