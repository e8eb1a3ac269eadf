// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// schemasPath is the OpenAPI v3 document of batch/v1, which has the schemas of Pod templates, too.
const schemasPath = "/openapi/v3/apis/batch/v1"

// removedFields are the alpha fields that an older supported version of Kubernetes has, and Batchgate's
// own does not, with their feature gates. With its gate off, kube-apiserver drops a field, too.
var removedFields = []struct{ prefix, gate string }{
	// Kubernetes 1.35
	{"io.k8s.api.core.v1.PodSpec.workloadRef", "GenericWorkload"},
	{"io.k8s.api.core.v1.WorkloadReference.", "GenericWorkload"},
}

// gateOfRemoved returns the feature gate of a removed field, or "" for other fields.
func gateOfRemoved(field string) string {
	for _, removed := range removedFields {
		if strings.HasPrefix(field, removed.prefix) {
			return removed.gate
		}
	}
	return ""
}

// CompareSchemas fails if kube-apiserver knows a field of Jobs, CronJobs or Pod templates that
// Batchgate does not know, and would drop. It ignores fields that kube-apiserver drops, too.
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
	var unknown, dropped []string
	var gatesErr error
	if missing := only(theirs, ours); len(missing) > 0 {
		// If the gates cannot be read, no field counts as dropped.
		var gates map[string]string
		gates, gatesErr = readFeatureGates(ctx, cluster)
		for _, field := range missing {
			if gates[gateOfRemoved(field)] == "0" {
				dropped = append(dropped, field)
			} else {
				unknown = append(unknown, field)
			}
		}
	}
	if len(unknown) > 0 {
		remedy := "install the Batchgate release for the Kubernetes version of the cluster"
		switch gate := gateOfRemoved(unknown[0]); {
		case gate != "" && gatesErr != nil:
			remedy = fmt.Sprintf("if the feature gate %s of kube-apiserver is off, run this as a user who may read its /metrics, which shows that: %v", gate, gatesErr)
		case gate != "":
			remedy = fmt.Sprintf("turn off the feature gate %s of kube-apiserver, since later releases of Kubernetes have removed the alpha field", gate)
		}
		return "", fmt.Errorf("Batchgate does not know %s of the fields that kube-apiserver knows, and would drop them: %s", first(unknown), remedy)
	}
	detail := fmt.Sprintf("all %d fields of the cluster are known", len(theirs)-len(dropped))
	if len(dropped) > 0 {
		detail += "; both servers drop " + first(dropped)
	}
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
