package job

import (
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"

	"github.com/batchgate/batchgate/pkg/fieldpolicy"
)

var (
	decisions = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace:      "batchgate",
		Name:           "job_update_decisions_total",
		Help:           "Updates of Jobs by what the gate decided about them (allow, warn or deny) and subresource (empty for the Job itself). Dry runs count.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"decision", "subresource"})

	changes = metrics.NewCounterVec(&metrics.CounterOpts{
		Namespace:      "batchgate",
		Name:           "job_update_changes_total",
		Help:           "Changes in updates of Jobs that no JobUpdatePolicy grants (deny, without a policy), or that a policy grants with a warning (warn), by field. The field is one of the Job or its Pod template, without keys.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"decision", "policy", "field"})
)

func init() {
	legacyregistry.MustRegister(decisions, changes)
	// From zero, or Prometheus would not see the first of each: to it, a counter that appears
	// with a value has not risen.
	for _, verdict := range []string{verdictAllowed, verdictWarned, verdictRefused} {
		for _, subresource := range []string{"", "status"} {
			decisions.WithLabelValues(verdict, subresource)
		}
	}
}

func countDecision(verdict, subresource string) {
	decisions.WithLabelValues(verdict, subresource).Inc()
}

func countChange(verdict, policy string, path fieldpolicy.Path) {
	changes.WithLabelValues(verdict, policy, path.Name()).Inc()
}
