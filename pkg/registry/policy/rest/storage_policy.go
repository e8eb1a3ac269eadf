// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package rest maps the resources of the API group policy.batchgate.io to their storage.
package rest

import (
	"slices"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/registry/rest"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/kubernetes/pkg/api/legacyscheme"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	"github.com/batchgate/batchgate/pkg/registry/bounded"
	"github.com/batchgate/batchgate/pkg/registry/policy/jobupdatepolicy/storage"
	"github.com/batchgate/batchgate/pkg/registry/policy/jobupdatereview"
)

// StorageProvider provides the storage of the group.
type StorageProvider struct {
	Reviewer *jobupdatereview.Reviewer
}

// NewRESTStorage returns the resources of all versions of the group.
func (p StorageProvider) NewRESTStorage(optsGetter generic.RESTOptionsGetter) (genericapiserver.APIGroupInfo, error) {
	policies, status, err := storage.NewREST(optsGetter)
	if err != nil {
		return genericapiserver.APIGroupInfo{}, err
	}
	selfReviews, reviews := jobupdatereview.NewREST(p.Reviewer)
	group := genericapiserver.NewDefaultAPIGroupInfo(policy.GroupName, legacyscheme.Scheme, legacyscheme.ParameterCodec, legacyscheme.Codecs)
	group.NegotiatedSerializer = withoutProtobuf{bounded.NegotiatedSerializer(group.NegotiatedSerializer)}
	group.VersionedResourcesStorageMap[v1alpha1.GroupVersion.Version] = map[string]rest.Storage{
		"jobupdatepolicies":        policies,
		"jobupdatepolicies/status": status,
		"jobupdatereviews":         reviews,
		"selfjobupdatereviews":     selfReviews,
	}
	return group, nil
}

// withoutProtobuf disables protobuf, since policies have no protobuf encoding. Otherwise a
// client that prefers protobuf but also accepts JSON gets an error.
type withoutProtobuf struct {
	runtime.NegotiatedSerializer
}

// SupportedMediaTypes implements runtime.NegotiatedSerializer.
func (s withoutProtobuf) SupportedMediaTypes() []runtime.SerializerInfo {
	return slices.DeleteFunc(slices.Clone(s.NegotiatedSerializer.SupportedMediaTypes()), func(info runtime.SerializerInfo) bool {
		return info.MediaType == runtime.ContentTypeProtobuf
	})
}
