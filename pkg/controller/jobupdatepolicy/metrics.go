// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package jobupdatepolicy

import (
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

var (
	policyCount = metrics.NewGaugeVec(&metrics.GaugeOpts{
		Namespace:      "batchgate",
		Name:           "job_update_policies",
		Help:           "Number of JobUpdatePolicies that this replica has loaded, by whether all of their fields are active.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"ready"})

	upToDate = metrics.NewGauge(&metrics.GaugeOpts{
		Namespace:      "batchgate",
		Name:           "job_update_policies_up_to_date",
		Help:           "1 if the active JobUpdatePolicies are the stored ones. 0 until they are loaded, and while this replica cannot read them or misses changes.",
		StabilityLevel: metrics.ALPHA,
	})
)

func init() { legacyregistry.MustRegister(policyCount, upToDate) }

func setPolicyCounts(total, invalid int) {
	policyCount.WithLabelValues("true").Set(float64(total - invalid))
	policyCount.WithLabelValues("false").Set(float64(invalid))
}
