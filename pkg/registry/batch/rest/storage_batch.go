// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package rest maps the resources of the batch API group to their storage: jobs to the gated
// storage of this project, and cronjobs to upstream's with a limit on validation errors.
package rest

import (
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/batch"
	"k8s.io/kubernetes/pkg/registry/batch/cronjob"
	cronjobstorage "k8s.io/kubernetes/pkg/registry/batch/cronjob/storage"

	jobstorage "github.com/batchgate/batchgate/pkg/registry/batch/job/storage"
	"github.com/batchgate/batchgate/pkg/registry/bounded"
	registrygeneric "github.com/batchgate/batchgate/pkg/registry/generic"
)

// StorageProvider provides the storage of the batch group.
type StorageProvider struct {
	Job jobstorage.Options
}

// NewRESTStorage returns the resources of batch/v1.
func (p StorageProvider) NewRESTStorage(optsGetter generic.RESTOptionsGetter) (genericapiserver.APIGroupInfo, error) {
	jobs, jobStatus, err := jobstorage.NewREST(optsGetter, p.Job)
	if err != nil {
		return genericapiserver.APIGroupInfo{}, err
	}
	cronJobs, _, err := cronjobstorage.NewREST(optsGetter)
	if err != nil {
		return genericapiserver.APIGroupInfo{}, err
	}
	cronJobs.CreateStrategy = bounded.CreateStrategy(cronjob.Strategy)
	cronJobs.UpdateStrategy = bounded.UpdateStrategy(cronjob.Strategy)
	cronJobStatus := *cronJobs.Store
	cronJobStatus.UpdateStrategy = bounded.UpdateStrategy(cronjob.StatusStrategy)
	cronJobStatus.ResetFieldsStrategy = cronjob.StatusStrategy
	group := genericapiserver.NewDefaultAPIGroupInfo(batch.GroupName, legacyscheme.Scheme, legacyscheme.ParameterCodec, legacyscheme.Codecs)
	group.NegotiatedSerializer = bounded.NegotiatedSerializer(group.NegotiatedSerializer)
	group.VersionedResourcesStorageMap[batchv1.SchemeGroupVersion.Version] = map[string]rest.Storage{
		"jobs":            jobs,
		"jobs/status":     jobStatus,
		"cronjobs":        cronJobs,
		"cronjobs/status": &registrygeneric.StatusREST{Store: &cronJobStatus},
	}
	return group, nil
}
