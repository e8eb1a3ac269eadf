// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// schemasPath is the OpenAPI v3 document of batch/v1, which has the schemas of Pod templates, too.
const schemasPath = "/openapi/v3/apis/batch/v1"

// removedFields are alpha fields of an older supported version of Kubernetes that Batchgate does not
// know, with their feature gates. With its gate off, kube-apiserver drops a field from new objects, but
// keeps it in objects that already have it.
var removedFields = []struct{ prefix, gate string }{
	// Kubernetes 1.35
	{"io.k8s.api.core.v1.PodSpec.workloadRef", "GenericWorkload"},
	{"io.k8s.api.core.v1.WorkloadReference.", "GenericWorkload"},
}

// objectWithRemovedField decodes the removed fields of a Job or CronJob.
type objectWithRemovedField struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Template    templateWithRemovedField
		JobTemplate struct {
			Spec struct{ Template templateWithRemovedField }
		}
	}
}

type templateWithRemovedField struct {
	Spec struct{ WorkloadRef json.RawMessage }
}

func (o objectWithRemovedField) uses() bool {
	return o.Spec.Template.Spec.WorkloadRef != nil || o.Spec.JobTemplate.Spec.Template.Spec.WorkloadRef != nil
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
// Batchgate does not know, and would drop. A removed field is allowed if its feature gate is off and no
// object has it.
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
	detail := fmt.Sprintf("all %d fields of the cluster are known", len(theirs)-len(missing))
	if len(missing) > 0 {
		if err := checkUnused(ctx, cluster, missing); err != nil {
			return "", fmt.Errorf("Batchgate does not know %s of the fields that kube-apiserver knows, and would drop them: %w", first(missing), err)
		}
		detail += "; not used, since the feature gate is off: " + first(missing)
	}
	if more := only(ours, theirs); len(more) > 0 {
		detail += "; Batchgate also knows " + first(more)
	}
	return detail, nil
}

// checkUnused returns an error unless all fields are removed ones that no object of kube-apiserver has or
// can get.
func checkUnused(ctx context.Context, cluster Server, fields []string) error {
	for _, field := range fields {
		if gateOfRemoved(field) == "" {
			return errors.New("install the Batchgate release for the Kubernetes version of the cluster")
		}
	}
	gates, err := readFeatureGates(ctx, cluster)
	for _, field := range fields {
		gate := gateOfRemoved(field)
		switch {
		case err != nil:
			return fmt.Errorf("this is safe only if the feature gate %s of kube-apiserver is off, but its feature gates could not be read from /metrics: %w", gate, err)
		case gates[gate] != "0":
			return fmt.Errorf("turn off the feature gate %s of kube-apiserver, and not on in Batchgate, since later releases of Kubernetes have removed the alpha field", gate)
		}
	}
	using, err := usingRemovedFields(ctx, cluster)
	if err == nil && len(using) > 0 {
		err = fmt.Errorf("%s have such a field: recreate them without it", first(using))
	}
	return err
}

// usingRemovedFields returns the Jobs and CronJobs of kube-apiserver that have a removed field.
func usingRemovedFields(ctx context.Context, cluster Server) ([]string, error) {
	var using []string
	for _, resource := range BatchResources {
		for token := ""; ; {
			query := url.Values{"limit": {strconv.Itoa(PageSize)}}
			if token != "" {
				query.Set("continue", token)
			}
			content, err := cluster.Read(ctx, BatchPath(resource), ReadOptions{Accept: "application/json", Query: query})
			if err != nil {
				return nil, fmt.Errorf("listing %s: %w", resource, err)
			}
			var list struct {
				metav1.ListMeta `json:"metadata"`
				Items           []objectWithRemovedField
			}
			if err := json.Unmarshal(content, &list); err != nil {
				return nil, fmt.Errorf("listing %s: %w", resource, err)
			}
			for _, item := range list.Items {
				if item.uses() {
					using = append(using, fmt.Sprintf("%s %s/%s", resource, item.Namespace, item.Name))
				}
			}
			if token = list.Continue; token == "" {
				break
			}
		}
	}
	return using, nil
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
