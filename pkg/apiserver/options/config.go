package options

import (
	"context"
	"fmt"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/runtime/serializer/cbor"
	"k8s.io/apimachinery/pkg/util/sets"
	openapinamer "k8s.io/apiserver/pkg/endpoints/openapi"
	genericfeatures "k8s.io/apiserver/pkg/features"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/filters"
	serverstorage "k8s.io/apiserver/pkg/server/storage"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/apiserver/pkg/util/openapi"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	corev1listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/kube-openapi/pkg/common"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/capabilities"
	generatedopenapi "k8s.io/kubernetes/pkg/generated/openapi"
	"k8s.io/kubernetes/pkg/kubeapiserver"

	policyapi "github.com/batchgate/batchgate/pkg/apis/policy"
	policyv1alpha1 "github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	"github.com/batchgate/batchgate/pkg/apiserver"
	policyopenapi "github.com/batchgate/batchgate/pkg/generated/openapi"
)

// batchModels is what the names of the OpenAPI models of batch/v1 begin with.
const batchModels = "io.k8s.api.batch.v1."

// ClusterConfig returns the configuration of a server that belongs to a cluster:
// authentication, authorization and admission are the cluster's.
func (o *Options) ClusterConfig() (*apiserver.Config, error) {
	config, err := o.genericConfig()
	if err != nil {
		return nil, err
	}
	o.Metrics.Apply()
	generic := config.Generic
	if err := o.CoreAPI.ApplyTo(generic); err != nil {
		return nil, fmt.Errorf("reaching the cluster: %w; give --kubeconfig outside of a cluster, or run the standalone command without one", err)
	}
	kubeClient, err := kubernetes.NewForConfig(generic.ClientConfig)
	if err != nil {
		return nil, err
	}
	dynamicClient, err := dynamic.NewForConfig(generic.ClientConfig)
	if err != nil {
		return nil, err
	}
	if err := o.applyAuthentication(&generic.Config); err != nil {
		return nil, err
	}
	if err := o.Authorization.ApplyTo(&generic.Authorization); err != nil {
		return nil, err
	}
	if !o.AuthorizeFrontProxy {
		generic.Authorization.Authorizer = once{generic.Authorization.Authorizer}
	}
	if err := o.Features.ApplyTo(&generic.Config, kubeClient, generic.SharedInformerFactory); err != nil {
		return nil, err
	}
	if err := o.applyAdmission(generic, kubeClient, dynamicClient); err != nil {
		return nil, err
	}
	config.NamespaceLabels = namespaceLabels(generic.SharedInformerFactory.Core().V1().Namespaces().Lister(), kubeClient)
	return config, nil
}

// namespaceLabels returns the labels of namespaces. One that is too new for the cache is read
// from the cluster, as admission does.
func namespaceLabels(cached corev1listers.NamespaceLister, client kubernetes.Interface) func(context.Context, string) labels.Set {
	return func(ctx context.Context, name string) labels.Set {
		namespace, err := cached.Get(name)
		if apierrors.IsNotFound(err) {
			namespace, err = client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
		}
		if err != nil {
			return nil
		}
		// Not nil, should it be without any.
		return labels.Merge(labels.Set{}, namespace.Labels)
	}
}

// genericConfig returns the configuration that does not depend on a cluster. The order is
// kube-apiserver's: later steps read what earlier ones set.
func (o *Options) genericConfig() (*apiserver.Config, error) {
	// Upstream's validation of Pod templates reads this; it refuses privileged containers until then.
	capabilities.Setup(o.AllowPrivileged, 0)
	codecs := legacyscheme.Codecs
	if utilfeature.DefaultFeatureGate.Enabled(genericfeatures.CBORServingAndStorage) {
		codecs = serializer.NewCodecFactory(legacyscheme.Scheme, serializer.WithSerializer(cbor.NewSerializerInfo))
	}
	generic := genericapiserver.NewRecommendedConfig(codecs)
	config := &apiserver.Config{Generic: generic, ServeSelfLink: o.ServeSelfLink}
	if err := o.ServerRun.ApplyTo(&generic.Config); err != nil {
		return nil, err
	}
	if err := o.SecureServing.ApplyToConfig(&generic.Config); err != nil {
		return nil, err
	}
	if err := measureServingCertificate(generic.SecureServing); err != nil {
		return nil, err
	}
	if err := o.Traces.ApplyTo(nil, &generic.Config); err != nil {
		return nil, err
	}
	if err := o.Audit.ApplyTo(&generic.Config); err != nil {
		return nil, err
	}
	definitions := openapi.GetOpenAPIDefinitionsWithoutDisabledFeatures(openAPIDefinitions)
	namer := openapinamer.NewDefinitionNamer(legacyscheme.Scheme)
	generic.OpenAPIConfig = genericapiserver.DefaultOpenAPIConfig(definitions, namer)
	generic.OpenAPIConfig.Info.Title = "Batchgate"
	generic.OpenAPIV3Config = genericapiserver.DefaultOpenAPIV3Config(definitions, namer)
	generic.OpenAPIV3Config.Info.Title = "Batchgate"
	generic.BuildHandlerChainFunc = buildHandlerChain
	generic.LongRunningFunc = filters.BasicLongRunningRequestCheck(sets.NewString("watch"), sets.NewString())
	return config, o.applyStorage(&generic.Config)
}

// openAPIDefinitions returns those of batch/v1, of the policies, and of what these refer to;
// upstream's where it has them. The generic server keeps what it is given for as long as it runs, and upstream's
// definitions of all built-in kinds would be a third of its heap at rest.
func openAPIDefinitions(ref common.ReferenceCallback) map[string]common.OpenAPIDefinition {
	upstream, policies := generatedopenapi.GetOpenAPIDefinitions(ref), policyopenapi.GetOpenAPIDefinitions(ref)
	served := map[string]common.OpenAPIDefinition{}
	var add func(name string)
	add = func(name string) {
		definition, ok := upstream[name]
		if !ok {
			definition, ok = policies[name]
		}
		if _, done := served[name]; done || !ok {
			return
		}
		served[name] = definition
		for _, dependency := range definition.Dependencies {
			add(dependency)
		}
	}
	for name := range policies {
		add(name)
	}
	for name := range upstream {
		if strings.HasPrefix(name, batchModels) {
			add(name)
		}
	}
	return served
}

// applyStorage stores as kube-apiserver does, so that both can share an etcd: keys like
// /registry/jobs/<namespace>/<name> and protobuf. The generic API server by itself would
// put the group's name into the keys.
func (o *Options) applyStorage(generic *genericapiserver.Config) error {
	resources := serverstorage.NewResourceConfig()
	resources.EnableVersions(batchv1.SchemeGroupVersion, schema.GroupVersion(policyv1alpha1.GroupVersion))
	generic.MergedResourceConfig = resources

	factoryConfig := kubeapiserver.NewStorageFactoryConfigEffectiveVersion(generic.EffectiveVersion)
	factoryConfig.APIResourceConfig = resources
	factory, err := factoryConfig.Complete(o.Etcd).New()
	if err != nil {
		return err
	}
	// What kube-apiserver does for custom resources: keys with the group, and JSON.
	policies := policyapi.Resource("jobupdatepolicies")
	factory.SetResourceEtcdPrefix(policies, policies.Group+"/"+policies.Resource)
	factory.SetSerializer(policies, runtime.ContentTypeJSON, nil)
	factory.StorageConfig.StorageObjectCountTracker = generic.StorageObjectCountTracker
	factory.StorageConfig.Transport.TracerProvider = generic.TracerProvider
	return o.Etcd.ApplyWithStorageFactoryTo(factory, generic)
}
