// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/initializer"
	webhookinit "k8s.io/apiserver/pkg/admission/plugin/webhook/initializer"
	quota "k8s.io/apiserver/pkg/quota/v1/generic"
	genericapiserver "k8s.io/apiserver/pkg/server"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	kubeapiserveradmission "k8s.io/kubernetes/pkg/kubeapiserver/admission"
)

// ApplyTo builds the admission chain with clients and informers of the cluster.
func ApplyTo(generic *genericapiserver.RecommendedConfig, o *genericoptions.AdmissionOptions, kubeClient kubernetes.Interface, dynamicClient dynamic.Interface) error {
	// This must run before a plugin requests the same informer.
	registerBindingInformer(generic.SharedInformerFactory)
	withSchemas, err := withOpenAPI(kubeClient, generic.OpenAPIV3Config)
	if err != nil {
		return err
	}
	services := serviceResolver{generic.SharedInformerFactory.Core().V1().Services().Lister()}
	return o.ApplyTo(&generic.Config,
		withoutPodInformer{generic.SharedInformerFactory, informers.NewSharedInformerFactory(kubeClient, 0)},
		withSchemas, dynamicClient,
		utilfeature.DefaultFeatureGate, generic.EffectiveVersion,
		webhookinit.NewPluginInitializer(nil, services), quotaInitializer{},
		// This loads policies and webhooks from staticManifestsDir in the admission configuration.
		kubeapiserveradmission.NewPluginInitializer())
}

// quotaInitializer makes the ResourceQuota plugin enforce object count quotas, such as
// count/jobs.batch. No other quota applies to Jobs and CronJobs.
type quotaInitializer struct{}

var _ admission.PluginInitializer = quotaInitializer{}

// Initialize implements admission.PluginInitializer.
func (quotaInitializer) Initialize(plugin admission.Interface) {
	if wants, ok := plugin.(initializer.WantsQuotaConfiguration); ok {
		wants.SetQuotaConfiguration(quota.NewConfiguration(nil, nil))
	}
}
