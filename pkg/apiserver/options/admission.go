package options

import (
	"net/url"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/initializer"
	"k8s.io/apiserver/pkg/admission/plugin/namespace/lifecycle"
	mutatingadmissionpolicy "k8s.io/apiserver/pkg/admission/plugin/policy/mutating"
	validatingadmissionpolicy "k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/admission/plugin/resourcequota"
	webhookinit "k8s.io/apiserver/pkg/admission/plugin/webhook/initializer"
	mutatingwebhook "k8s.io/apiserver/pkg/admission/plugin/webhook/mutating"
	validatingwebhook "k8s.io/apiserver/pkg/admission/plugin/webhook/validating"
	quota "k8s.io/apiserver/pkg/quota/v1/generic"
	genericapiserver "k8s.io/apiserver/pkg/server"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/apiserver/pkg/util/proxy"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	admissioninformers "k8s.io/client-go/informers/admissionregistration/v1"
	"k8s.io/client-go/informers/core"
	corev1 "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	corev1listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/kubernetes/plugin/pkg/admission/security/podsecurity"
)

// newAdmissionOptions returns the plugins that kube-apiserver runs by default and that have
// a say about Jobs or CronJobs, in its order. The others look at other resources only.
func newAdmissionOptions() *genericoptions.AdmissionOptions {
	o := genericoptions.NewAdmissionOptions()
	podsecurity.Register(o.Plugins)
	resourcequota.Register(o.Plugins)
	o.RecommendedPluginOrder = []string{
		lifecycle.PluginName,
		podsecurity.PluginName,
		mutatingadmissionpolicy.PluginName,
		mutatingwebhook.PluginName,
		validatingadmissionpolicy.PluginName,
		validatingwebhook.PluginName,
		resourcequota.PluginName,
	}
	return o
}

func (o *Options) applyAdmission(generic *genericapiserver.RecommendedConfig, kubeClient kubernetes.Interface, dynamicClient dynamic.Interface) error {
	withoutKubeAPIServersPolicies(generic.SharedInformerFactory)
	services := serviceResolver{generic.SharedInformerFactory.Core().V1().Services().Lister()}
	return o.Admission.ApplyTo(&generic.Config,
		withoutPods{generic.SharedInformerFactory, informers.NewSharedInformerFactory(kubeClient, 0)},
		kubeClient, dynamicClient,
		utilfeature.DefaultFeatureGate, generic.EffectiveVersion,
		webhookinit.NewPluginInitializer(nil, services), quotaInitializer{})
}

// enforcedByKubeAPIServer selects the bindings of policies without the label by which the
// kubectl plugin lets kube-apiserver alone refuse writes, while Jobs are in an etcd of this server's.
const enforcedByKubeAPIServer = "batchgate.io/enforced-by!=kube-apiserver"

// withoutKubeAPIServersPolicies hides those bindings. The informer is made here, before whoever
// asks the factory for it.
func withoutKubeAPIServersPolicies(factory informers.SharedInformerFactory) {
	factory.InformerFor(&admissionregistrationv1.ValidatingAdmissionPolicyBinding{}, func(client kubernetes.Interface, resync time.Duration) cache.SharedIndexInformer {
		return admissioninformers.NewFilteredValidatingAdmissionPolicyBindingInformer(client, resync, cache.Indexers{}, func(opts *metav1.ListOptions) {
			opts.LabelSelector = enforcedByKubeAPIServer
		})
	})
}

// serviceResolver finds webhooks at the cluster IP of their Service, as kube-apiserver does.
// The default asks the cluster's DNS, which a static pod on the host network cannot.
type serviceResolver struct {
	services corev1listers.ServiceLister
}

// ResolveEndpoint implements webhookinit.ServiceResolver.
func (r serviceResolver) ResolveEndpoint(namespace, name string, port int32) (*url.URL, error) {
	return proxy.ResolveCluster(r.services, namespace, name, port)
}

// quotaInitializer lets the ResourceQuota plugin count objects (count/jobs.batch); nothing
// served here has any other cost.
type quotaInitializer struct{}

// Initialize implements admission.PluginInitializer.
func (quotaInitializer) Initialize(plugin admission.Interface) {
	if wants, ok := plugin.(initializer.WantsQuotaConfiguration); ok {
		wants.SetQuotaConfiguration(quota.NewConfiguration(nil, nil))
	}
}

// withoutPods keeps the PodSecurity plugin from caching every Pod of the cluster, and this
// server from needing the permission to. The plugin looks Pods up only when a Namespace
// changes, which does not happen here: the informer that it gets is never started.
type withoutPods struct {
	informers.SharedInformerFactory
	notStarted informers.SharedInformerFactory
}

// Core implements informers.SharedInformerFactory.
func (f withoutPods) Core() core.Interface {
	return coreWithoutPods{f.SharedInformerFactory.Core(), f.notStarted}
}

type coreWithoutPods struct {
	core.Interface
	notStarted informers.SharedInformerFactory
}

// V1 implements core.Interface.
func (c coreWithoutPods) V1() corev1.Interface {
	return coreV1WithoutPods{c.Interface.V1(), c.notStarted}
}

type coreV1WithoutPods struct {
	corev1.Interface
	notStarted informers.SharedInformerFactory
}

// Pods implements corev1.Interface.
func (c coreV1WithoutPods) Pods() corev1.TypedPodInformer {
	return c.notStarted.Core().V1().Pods()
}
