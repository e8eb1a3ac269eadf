// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package suggest

import (
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
)

// changesMetric counts denied and warned changes by their field.
const changesMetric = "batchgate_job_update_changes_total"

// decisionsMetric is present in the metrics of each replica from its start.
const decisionsMetric = "batchgate_job_update_decisions_total"

// FromMetrics reads the metrics of a replica in the Prometheus text format. It returns a policy with the
// fields whose changes were denied or granted with a warning, or nil if there are none. Metrics have no
// users, namespaces or keys, so the policy is for everyone and has the action Warn.
func FromMetrics(r io.Reader) (*Suggestion, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(r)
	if err != nil {
		return nil, fmt.Errorf("reading metrics: %w", err)
	}
	if families[decisionsMetric] == nil {
		return nil, fmt.Errorf("there is no metric %s: these are not the metrics of batchgate-apiserver", decisionsMetric)
	}
	s := Suggestion{
		Policy: &v1alpha1.JobUpdatePolicy{
			TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "JobUpdatePolicy"},
			ObjectMeta: metav1.ObjectMeta{Name: "suggested-from-metrics"},
			Spec:       v1alpha1.JobUpdatePolicySpec{Action: v1alpha1.Warn},
		},
		Notes: []string{"metrics do not say who made the changes: add subjects, and then set the action Allow"},
	}
	changes := map[string]int{} // by field
	warned := map[string]int{}  // by field
	for _, metric := range families[changesMetric].GetMetric() {
		labels := map[string]string{}
		for _, label := range metric.GetLabel() {
			labels[label.GetName()] = label.GetValue()
		}
		// Metrics without TYPE lines are untyped.
		count := int(metric.GetCounter().GetValue() + metric.GetUntyped().GetValue())
		if count == 0 || labels["field"] == "" {
			continue
		}
		if labels["decision"] == "warn" {
			// The server counts a change for each policy that grants it, so only the maximum is certain.
			warned[labels["field"]] = max(warned[labels["field"]], count)
			count = 0
		}
		changes[labels["field"]] += count
	}
	for field, count := range changes {
		s.Changes += count + warned[field]
	}
	s.Policy.Spec.Fields = slices.Sorted(maps.Keys(changes))
	if len(s.Policy.Spec.Fields) == 0 {
		return nil, nil
	}
	return &s, nil
}
