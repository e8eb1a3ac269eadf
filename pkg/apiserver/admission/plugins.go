// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"slices"

	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle"
	mutatingadmissionpolicy "k8s.io/apiserver/pkg/admission/plugin/policy/mutating"
	validatingadmissionpolicy "k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/admission/plugin/resourcequota"
	mutatingwebhook "k8s.io/apiserver/pkg/admission/plugin/webhook/mutating"
	validatingwebhook "k8s.io/apiserver/pkg/admission/plugin/webhook/validating"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/kubernetes/plugin/pkg/admission/gc"
	"k8s.io/kubernetes/plugin/pkg/admission/security/podsecurity"
)

// NewOptions returns options with kube-apiserver's plugins that handle Jobs or CronJobs, in its
// order and with its defaults. TestParityAdmissionPlugins lists the plugins that are left out.
func NewOptions() *genericoptions.AdmissionOptions {
	o := genericoptions.NewAdmissionOptions()
	gc.Register(o.Plugins)
	podsecurity.Register(o.Plugins)
	resourcequota.Register(o.Plugins)
	o.RecommendedPluginOrder = []string{
		lifecycle.PluginName,
		podsecurity.PluginName,
		gc.PluginName,
		mutatingadmissionpolicy.PluginName,
		mutatingwebhook.PluginName,
		validatingadmissionpolicy.PluginName,
		validatingwebhook.PluginName,
		resourcequota.PluginName,
	}
	o.DefaultOffPlugins.Insert(gc.PluginName)
	o.Decorators = slices.Concat(admission.Decorators{admission.DecoratorFunc(withoutReviews)}, o.Decorators)
	return o
}
