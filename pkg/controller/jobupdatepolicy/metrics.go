package jobupdatepolicy

import (
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

var (
	policies = metrics.NewGaugeVec(&metrics.GaugeOpts{
		Namespace:      "batchgate",
		Name:           "job_update_policies",
		Help:           "JobUpdatePolicies that this replica has loaded, by whether all of each is in force.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"ready"})

	upToDate = metrics.NewGauge(&metrics.GaugeOpts{
		Namespace:      "batchgate",
		Name:           "job_update_policies_up_to_date",
		Help:           "1 while the JobUpdatePolicies in force are those that are stored. 0 until they are loaded, and while they cannot be read or changes of them are not seen.",
		StabilityLevel: metrics.ALPHA,
	})
)

func init() { legacyregistry.MustRegister(policies, upToDate) }

func countPolicies(all, wrong int) {
	policies.WithLabelValues("true").Set(float64(all - wrong))
	policies.WithLabelValues("false").Set(float64(wrong))
}
