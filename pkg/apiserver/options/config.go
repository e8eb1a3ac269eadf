// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package options

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/sets"
	genericapiserver "k8s.io/apiserver/pkg/server"
	genericfilters "k8s.io/apiserver/pkg/server/filters"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/kubernetes/pkg/capabilities"

	"github.com/batchgate/batchgate/pkg/apiserver"
	"github.com/batchgate/batchgate/pkg/apiserver/admission"
	"github.com/batchgate/batchgate/pkg/apiserver/authentication"
	"github.com/batchgate/batchgate/pkg/apiserver/authorization"
	"github.com/batchgate/batchgate/pkg/apiserver/connection"
	"github.com/batchgate/batchgate/pkg/apiserver/filters"
	"github.com/batchgate/batchgate/pkg/apiserver/openapi"
	"github.com/batchgate/batchgate/pkg/apiserver/storage"
	"github.com/batchgate/batchgate/pkg/registry/bounded"
)

// ClusterConfig returns the configuration of a server that belongs to a cluster. The server uses
// the cluster's authentication, authorization and admission.
func (o *Options) ClusterConfig() (*apiserver.Config, error) {
	config, err := o.newConfig()
	if err != nil {
		return nil, err
	}
	o.Metrics.Apply()
	generic := config.Generic
	if err := o.CoreAPI.ApplyTo(generic); err != nil {
		return nil, fmt.Errorf("loading the cluster's client configuration: %w; set --kubeconfig outside of a cluster, or run the standalone command without one", err)
	}
	observed := rest.CopyConfig(generic.ClientConfig)
	observed.Wrap(connection.RecordWatches)
	// Quota writes its usage with this client, and admission reads namespaces. With client-go's default of 5
	// requests per second, one busy namespace would delay all others. kube-apiserver has its own limits.
	observed.QPS = -1
	kubeClient, err := kubernetes.NewForConfig(observed)
	if err != nil {
		return nil, err
	}
	// CoreAPI has created a factory with a client that is not observed.
	generic.SharedInformerFactory = informers.NewSharedInformerFactory(kubeClient, 10*time.Minute)
	dynamicClient, err := dynamic.NewForConfig(generic.ClientConfig)
	if err != nil {
		return nil, err
	}
	if err := authentication.ApplyDelegating(&generic.Config, o.Authentication, o.Authorization.AlwaysAllowPaths); err != nil {
		return nil, err
	}
	if err := authorization.ApplyDelegating(&generic.Authorization, o.Authorization, o.AuthorizeFrontProxy); err != nil {
		return nil, err
	}
	if err := o.Features.ApplyTo(&generic.Config, kubeClient, generic.SharedInformerFactory); err != nil {
		return nil, err
	}
	if err := admission.ApplyTo(generic, o.Admission, kubeClient, dynamicClient); err != nil {
		return nil, err
	}
	if err := o.recordKubeconfigCertificates(generic.ClientConfig); err != nil {
		return nil, err
	}
	monitor := connection.New(kubeClient.Discovery().RESTClient(), generic.EffectiveVersion.EmulationVersion(), o.UnreachableTimeout)
	if err := monitor.ApplyTo(&generic.Config); err != nil {
		return nil, err
	}
	if !o.AllowUnsupportedVersionSkew {
		filters.ApplyVersionSkewCheck(&generic.Config, monitor.CheckSkew)
	}
	nativeBatch := connection.NewNativeBatch(kubeClient.Discovery().RESTClient())
	if err := nativeBatch.ApplyTo(&generic.Config); err != nil {
		return nil, err
	}
	filters.ApplyAggregatorOpenAPI(&generic.Config, nativeBatch.Disabled)
	if o.RecordEvents {
		if config.Events, err = newEventRecorder(generic); err != nil {
			return nil, err
		}
	}
	namespaces := generic.SharedInformerFactory.Core().V1().Namespaces().Lister()
	config.NamespaceLabels = admission.NamespaceLabels(namespaces, kubeClient)
	config.CachedNamespaceLabels = admission.CachedNamespaceLabels(namespaces)
	return config, nil
}

// StandaloneConfig returns the configuration of a server without a cluster. Client certificates
// of the group system:masters allow everything, and the health endpoints are open to everybody.
// The server has no admission, because all plugins need a cluster.
func (o *Options) StandaloneConfig() (*apiserver.Config, error) {
	config, err := o.newConfig()
	if err != nil {
		return nil, err
	}
	generic := config.Generic
	if err := authentication.ApplyClientCertificate(&generic.Config, o.Authentication.ClientCert); err != nil {
		return nil, err
	}
	if generic.Authorization.Authorizer, err = authorization.NewStandalone(o.Authorization.AlwaysAllowPaths); err != nil {
		return nil, err
	}
	// Priority and fairness reads its configuration from a cluster. The server keeps
	// --max-requests-inflight.
	o.Features.EnablePriorityAndFairness = false
	if err := o.Features.ApplyTo(&generic.Config, nil, nil); err != nil {
		return nil, err
	}
	// Without a cluster, there is no kube-apiserver that could have batch/v1 disabled.
	filters.ApplyAggregatorOpenAPI(&generic.Config, func() bool { return false })
	// Any namespace exists. It has the label that a cluster sets on each namespace.
	config.CachedNamespaceLabels = func(name string) labels.Set { return labels.Set{corev1.LabelMetadataName: name} }
	config.NamespaceLabels = func(_ context.Context, name string) labels.Set { return config.CachedNamespaceLabels(name) }
	return config, nil
}

// newConfig returns the configuration that does not depend on a cluster. The steps have the same
// order as in kube-apiserver, because later ones read fields that earlier ones set.
func (o *Options) newConfig() (*apiserver.Config, error) {
	// Upstream's validation of Pod templates reads these global settings. Until they are set, it
	// rejects privileged containers.
	capabilities.Setup(o.AllowPrivileged, 0)
	generic := genericapiserver.NewRecommendedConfig(storage.NewCodecs())
	generic.Serializer = bounded.NegotiatedSerializer(generic.Serializer)
	if err := o.ServerRun.ApplyTo(&generic.Config); err != nil {
		return nil, err
	}
	if err := o.SecureServing.ApplyToConfig(&generic.Config); err != nil {
		return nil, err
	}
	recordServerCertificates(generic.SecureServing, o.Etcd)
	if err := o.Traces.ApplyTo(nil, &generic.Config); err != nil {
		return nil, err
	}
	if err := o.Audit.ApplyTo(&generic.Config); err != nil {
		return nil, err
	}
	if generic.AuditBackend != nil {
		generic.AuditBackend = bounded.AuditBackend(generic.AuditBackend)
	}
	openapi.ApplyTo(&generic.Config)
	generic.BuildHandlerChainFunc = filters.BuildHandlerChain
	generic.LongRunningFunc = genericfilters.BasicLongRunningRequestCheck(sets.NewString("watch"), sets.NewString())
	if err := storage.ApplyTo(&generic.Config, o.Etcd); err != nil {
		return nil, err
	}
	return &apiserver.Config{Generic: generic, ServeSelfLink: o.ServeSelfLink}, nil
}
