// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package storage

import (
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	genericapiserver "k8s.io/apiserver/pkg/server"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	serverstorage "k8s.io/apiserver/pkg/server/storage"
	"k8s.io/kubernetes/pkg/kubeapiserver"

	policyapi "github.com/batchgate/batchgate/pkg/apis/policy"
	policyv1alpha1 "github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
)

// ApplyTo sets the RESTOptionsGetter and the enabled API versions. Jobs and CronJobs are stored
// as kube-apiserver stores them: in protobuf, under keys like /registry/jobs/<namespace>/<name>.
// The generic server's own storage factory would add the group name to these keys.
func ApplyTo(generic *genericapiserver.Config, o *genericoptions.EtcdOptions) error {
	resources := serverstorage.NewResourceConfig()
	resources.EnableVersions(batchv1.SchemeGroupVersion, schema.GroupVersion(policyv1alpha1.GroupVersion))
	generic.MergedResourceConfig = resources

	factoryConfig := kubeapiserver.NewStorageFactoryConfigEffectiveVersion(generic.EffectiveVersion)
	factoryConfig.APIResourceConfig = resources
	factory, err := factoryConfig.Complete(o).New()
	if err != nil {
		return err
	}
	// Policies are stored like custom resources: as JSON, under keys that contain the group name.
	policies := policyapi.Resource("jobupdatepolicies")
	factory.SetResourceEtcdPrefix(policies, policies.Group+"/"+policies.Resource)
	factory.SetSerializer(policies, runtime.ContentTypeJSON, nil)
	factory.StorageConfig.StorageObjectCountTracker = generic.StorageObjectCountTracker
	factory.StorageConfig.Transport.TracerProvider = generic.TracerProvider
	if err := o.ApplyWithStorageFactoryTo(factory, generic); err != nil {
		return err
	}
	generic.RESTOptionsGetter = policyOptionsGetter{generic.RESTOptionsGetter}
	return nil
}
