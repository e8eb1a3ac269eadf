// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"k8s.io/client-go/kubernetes"

	"github.com/batchgate/batchgate/test/framework"
)

// ReadDocument reads a JSON document, such as an OpenAPI document, from a server.
func ReadDocument(ctx context.Context, client kubernetes.Interface, path, accept string) (map[string]any, error) {
	content, err := client.Discovery().RESTClient().Get().AbsPath(path).SetHeader("Accept", accept).Do(ctx).Raw()
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	var doc map[string]any
	return doc, json.Unmarshal(content, &doc)
}

// WithKinds returns a copy of part of a document. Schemas that belong to several API groups keep only
// the groups for which keep returns true.
func WithKinds(part any, keep func(group string) bool) any {
	switch part := part.(type) {
	case map[string]any:
		kept := map[string]any{}
		for key, value := range part {
			kept[key] = WithKinds(value, keep)
			if kinds, ok := value.([]any); ok && key == "x-kubernetes-group-version-kind" && len(kinds) > 1 {
				kept[key] = slices.DeleteFunc(slices.Clone(kinds), func(kind any) bool { return !keep(kind.(map[string]any)["group"].(string)) })
			}
		}
		return kept
	case []any:
		kept := make([]any, 0, len(part))
		for _, value := range part {
			kept = append(kept, WithKinds(value, keep))
		}
		return kept
	}
	return part
}

// ExpectNativeOpenAPI checks that kube-apiserver publishes its own OpenAPI v3 document for batch/v1
// and that the index of documents links to it. If two servers published one, the aggregator would
// pick either at random, so it checks repeatedly.
func ExpectNativeOpenAPI(t *testing.T, cluster *framework.Cluster) {
	t.Helper()
	for range 20 {
		doc, err := ReadDocument(t.Context(), cluster.Client, "/openapi/v3/apis/batch/v1", "application/json")
		if err != nil {
			t.Fatal(err)
		}
		if title := doc["info"].(map[string]any)["title"]; title != "Kubernetes" {
			t.Fatalf("batch/v1 has the OpenAPI document of %q, want kube-apiserver's", title)
		}
		index, err := ReadDocument(t.Context(), cluster.Client, "/openapi/v3", "application/json")
		if err != nil {
			t.Fatal(err)
		}
		url := index["paths"].(map[string]any)["apis/batch/v1"].(map[string]any)["serverRelativeURL"].(string)
		if err := cluster.Client.Discovery().RESTClient().Get().RequestURI(url).Do(t.Context()).Error(); err != nil {
			t.Fatal(err)
		}
	}
}
