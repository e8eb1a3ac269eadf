// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// schemasPath is the OpenAPI v3 document of batch/v1, which has the schemas of Pod templates, too.
const schemasPath = "/openapi/v3/apis/batch/v1"

// CompareSchemas fails if kube-apiserver knows a field of Jobs, CronJobs or Pod templates that
// Batchgate does not know, and would drop.
func CompareSchemas(ctx context.Context, cluster, batchgate Server) (string, error) {
	theirs, err := readProperties(ctx, cluster)
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) {
		return fmt.Sprintf("not checked, since kube-apiserver does not show its OpenAPI v3 document: %v", err), nil
	}
	if err != nil {
		return "", fmt.Errorf("reading the schemas of kube-apiserver: %w", err)
	}
	ours, err := readProperties(ctx, batchgate)
	if err != nil {
		return "", fmt.Errorf("reading the schemas of Batchgate: %w", err)
	}
	missing := only(theirs, ours)
	if len(missing) > 0 {
		return "", fmt.Errorf("Batchgate does not know %s of the fields that kube-apiserver knows, and would drop them: install the Batchgate release for the Kubernetes version of the cluster", first(missing))
	}
	detail := fmt.Sprintf("all %d fields of the cluster are known", len(theirs))
	if more := only(ours, theirs); len(more) > 0 {
		detail += "; Batchgate also knows " + first(more)
	}
	return detail, nil
}

// only returns the elements of a that b lacks. Both are sorted.
func only(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { _, found := slices.BinarySearch(b, s); return found })
}

// readProperties returns the properties of all schemas, as schema.property, in order.
func readProperties(ctx context.Context, s Server) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	content, err := s.Read(ctx, schemasPath, ReadOptions{Accept: "application/json"})
	if err != nil {
		return nil, err
	}
	var document struct {
		Components struct {
			Schemas map[string]struct {
				Properties map[string]json.RawMessage `json:"properties"`
			} `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(content, &document); err != nil {
		return nil, err
	}
	var found []string
	for name, schema := range document.Components.Schemas {
		for property := range schema.Properties {
			found = append(found, name+"."+property)
		}
	}
	slices.Sort(found)
	return found, nil
}
