// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package connection

import (
	"k8s.io/component-base/metrics"
	"k8s.io/component-base/metrics/legacyregistry"
)

var (
	lastContact = metrics.NewGauge(&metrics.GaugeOpts{
		Namespace:      "batchgate",
		Name:           "kube_apiserver_last_contact_timestamp_seconds",
		Help:           "Time at which kube-apiserver last answered this replica, in seconds since January 1, 1970 UTC, or when the replica started if it never did.",
		StabilityLevel: metrics.ALPHA,
	})

	lastWatch = metrics.NewGaugeVec(&metrics.GaugeOpts{
		Namespace:      "batchgate",
		Name:           "informer_last_watch_timestamp_seconds",
		Help:           "Time at which a list or watch of a resource in kube-apiserver last succeeded, in seconds since January 1, 1970 UTC. A healthy informer starts a new watch at least every 10 minutes.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"resource"})

	versionInfo = metrics.NewGaugeVec(&metrics.GaugeOpts{
		Namespace:      "batchgate",
		Name:           "kube_apiserver_version_info",
		Help:           "1 for the version of kube-apiserver, the version that it emulates, and the version that this replica emulates.",
		StabilityLevel: metrics.ALPHA,
	}, []string{"git_version", "emulation_version", "batchgate_emulation_version"})

	versionSkew = metrics.NewGauge(&metrics.GaugeOpts{
		Namespace:      "batchgate",
		Name:           "kube_apiserver_version_skew_minors",
		Help:           "Number of minor versions by which kube-apiserver's emulated version is newer than this replica's. Negative if it is older.",
		StabilityLevel: metrics.ALPHA,
	})
)

func init() { legacyregistry.MustRegister(lastContact, lastWatch, versionInfo, versionSkew) }
