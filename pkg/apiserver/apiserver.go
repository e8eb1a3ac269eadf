// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package apiserver assembles the server from the generic API server of k8s.io/apiserver, the
// API groups batch and policy.batchgate.io, and the policy controller. Only its subpackages and
// the commands may import it.
package apiserver

import (
	"context"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	registryrest "k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/healthz"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/record"
	_ "k8s.io/kubernetes/pkg/apis/autoscaling/install" // types that core needs
	_ "k8s.io/kubernetes/pkg/apis/batch/install"
	_ "k8s.io/kubernetes/pkg/apis/core/install" // Pod templates and request options

	_ "github.com/batchgate/batchgate/pkg/apis/policy/install"
	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	"github.com/batchgate/batchgate/pkg/controller/jobupdatepolicy"
	"github.com/batchgate/batchgate/pkg/fieldpolicy"
	clientset "github.com/batchgate/batchgate/pkg/generated/clientset/versioned"
	"github.com/batchgate/batchgate/pkg/registry/batch/job"
	jobstorage "github.com/batchgate/batchgate/pkg/registry/batch/job/storage"
	batchrest "github.com/batchgate/batchgate/pkg/registry/batch/rest"
	"github.com/batchgate/batchgate/pkg/registry/policy/jobupdatereview"
	policyrest "github.com/batchgate/batchgate/pkg/registry/policy/rest"
)

// Config configures the server.
type Config struct {
	Generic *genericapiserver.RecommendedConfig
	// ServeSelfLink sets metadata.selfLink in responses with a single Job.
	ServeSelfLink bool
	// NamespaceLabels returns the labels of a namespace, or nil if they are unknown. The
	// namespaceSelectors of policies match them. Required.
	NamespaceLabels func(ctx context.Context, namespace string) labels.Set
	// CachedNamespaceLabels is NamespaceLabels for reviews of Jobs that do not exist. It sends no
	// request. Required.
	CachedNamespaceLabels func(namespace string) labels.Set
	// Events records an Event on the Job for each denied update. Nil records none.
	Events record.EventRecorder
}

type completedConfig struct {
	generic genericapiserver.CompletedConfig
	batch   batchrest.StorageProvider
	// policies are set by the controller and read by the gate.
	policies *fieldpolicy.SnapshotStore
}

// CompletedConfig is a Config that Complete has filled in. Only Complete can create it.
type CompletedConfig struct {
	*completedConfig
}

// Complete fills in unset fields. It performs no I/O.
func (c *Config) Complete() CompletedConfig {
	policies := &fieldpolicy.SnapshotStore{}
	gate := &job.Gate{Policies: policies, NamespaceLabels: c.NamespaceLabels, CachedNamespaceLabels: c.CachedNamespaceLabels, Events: c.Events}
	return CompletedConfig{&completedConfig{
		generic:  c.Generic.Complete(),
		batch:    batchrest.StorageProvider{Job: jobstorage.Options{ServeSelfLink: c.ServeSelfLink, Gate: gate}},
		policies: policies,
	}}
}

// New returns the server with its API groups installed. The caller must run it.
func (c CompletedConfig) New() (*genericapiserver.GenericAPIServer, error) {
	server, err := c.generic.New("batchgate-apiserver", genericapiserver.NewEmptyDelegate())
	if err != nil {
		return nil, err
	}
	batchGroup, err := c.batch.NewRESTStorage(c.generic.RESTOptionsGetter)
	if err != nil {
		return nil, err
	}
	reviewer := &jobupdatereview.Reviewer{
		Gate:       c.batch.Job.Gate,
		Jobs:       batchGroup.VersionedResourcesStorageMap[batchv1.SchemeGroupVersion.Version]["jobs"].(registryrest.Getter),
		Authorizer: c.generic.Authorization.Authorizer,
	}
	policyGroup, err := policyrest.StorageProvider{Reviewer: reviewer}.NewRESTStorage(c.generic.RESTOptionsGetter)
	if err != nil {
		return nil, err
	}
	if err := server.InstallAPIGroups(&batchGroup, &policyGroup); err != nil {
		return nil, err
	}
	// Delay readiness until the watch caches are initialized, as kube-apiserver does. Until then
	// lists and watches fail with 429.
	if err := server.AddPostStartHook("storage-readiness", server.StorageReadinessHook.Hook); err != nil {
		return nil, err
	}
	return server, c.addPolicyController(server)
}

// addPolicyController starts the policy controller after the server, and delays readiness until
// the policies are loaded.
func (c CompletedConfig) addPolicyController(server *genericapiserver.GenericAPIServer) error {
	config := rest.AddUserAgent(rest.CopyConfig(server.LoopbackClientConfig), "jobupdatepolicy-controller")
	config.ContentType = runtime.ContentTypeJSON
	client, err := clientset.NewForConfig(config)
	if err != nil {
		return err
	}
	metadataClient, err := metadata.NewForConfig(config)
	if err != nil {
		return err
	}
	policies := metadataClient.Resource(schema.GroupVersionResource{
		Group: v1alpha1.GroupVersion.Group, Version: v1alpha1.GroupVersion.Version, Resource: "jobupdatepolicies",
	})
	controller, err := jobupdatepolicy.New(client, policies, c.policies, job.ForgetPolicy)
	if err != nil {
		return err
	}
	if err := server.AddReadyzChecks(healthz.NamedCheck("job-update-policies", controller.Check)); err != nil {
		return err
	}
	return server.AddPostStartHook("batchgate-policies", func(hook genericapiserver.PostStartHookContext) error {
		go controller.Run(hook)
		return nil
	})
}
