package jobupdatepolicy

import (
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

var policies = metrics.NewGaugeVec(&metrics.GaugeOpts{
	Namespace:      "batchgate",
	Name:           "job_update_policies",
	Help:           "JobUpdatePolicies that this replica has loaded, by whether all of each is in force.",
	StabilityLevel: metrics.ALPHA,
}, []string{"ready"})

func init() { legacyregistry.MustRegister(policies) }

func countPolicies(all, wrong int) {
	policies.WithLabelValues("true").Set(float64(all - wrong))
	policies.WithLabelValues("false").Set(float64(wrong))
}
