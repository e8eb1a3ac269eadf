// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package job

import (
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"

	"github.com/batchgate/batchgate/pkg/fieldpolicy"
	"github.com/batchgate/batchgate/pkg/fieldpolicy/fieldpath"
)

var (
	decisions = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace:      "batchgate",
		Name:           "job_update_decisions_total",
		Help:           "Number of updates of Jobs by decision (allow, warn or deny) and subresource (empty for the Job itself), including dry runs.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"decision", "subresource"})

	changes = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace:      "batchgate",
		Name:           "job_update_changes_total",
		Help:           "Number of changes in updates of Jobs that no JobUpdatePolicy grants (decision deny, policy empty) or that only a policy with the action Warn grants (decision warn), by field of the Job or of its Pod template, without keys.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"decision", "policy", "field"})
)

func init() {
	legacyregistry.MustRegister(decisions, changes)
	// Start at zero. Otherwise Prometheus misses the first increment, since a counter that
	// appears with a value has not increased.
	for _, outcome := range []fieldpolicy.Outcome{fieldpolicy.Allow, fieldpolicy.Warn, fieldpolicy.Deny} {
		for _, subresource := range []string{"", "status"} {
			decisions.WithLabelValues(string(outcome), subresource)
		}
	}
}

// ForgetPolicy deletes the metrics of a policy that was deleted. Otherwise they would add up as
// policies come and go.
func ForgetPolicy(name string) {
	if name != "" { // denied changes have no policy
		changes.DeletePartialMatch(map[string]string{"policy": name})
	}
}

func countDecision(outcome fieldpolicy.Outcome, subresource string) {
	decisions.WithLabelValues(string(outcome), subresource).Inc()
}

func countChange(outcome fieldpolicy.Outcome, policy string, path fieldpath.Path) {
	changes.WithLabelValues(string(outcome), policy, path.Name()).Inc()
}
