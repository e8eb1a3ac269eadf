// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package storage is the REST storage of jobupdatepolicies and jobupdatepolicies/status.
package storage

import (
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/generic"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/registry/bounded"
	registrygeneric "github.com/batchgate/batchgate/pkg/registry/generic"
	"github.com/batchgate/batchgate/pkg/registry/policy/jobupdatepolicy"
)

// REST is the storage of jobupdatepolicies.
type REST struct {
	*genericregistry.Store
}

var (
	_ rest.StandardStorage      = &REST{}
	_ rest.ShortNamesProvider   = &REST{}
	_ rest.CategoriesProvider   = &REST{}
	_ rest.SingularNameProvider = &REST{}
)

// NewREST returns the storage of jobupdatepolicies and of jobupdatepolicies/status. They share
// one store and its watch cache.
func NewREST(optsGetter generic.RESTOptionsGetter) (*REST, *registrygeneric.StatusREST, error) {
	store := &genericregistry.Store{
		NewFunc:                   func() runtime.Object { return &policy.JobUpdatePolicy{} },
		NewListFunc:               func() runtime.Object { return &policy.JobUpdatePolicyList{} },
		DefaultQualifiedResource:  policy.Resource("jobupdatepolicies"),
		SingularQualifiedResource: policy.Resource("jobupdatepolicy"),
		CreateStrategy:            bounded.CreateStrategy(jobupdatepolicy.Strategy),
		UpdateStrategy:            bounded.UpdateStrategy(jobupdatepolicy.Strategy),
		DeleteStrategy:            jobupdatepolicy.Strategy,
		ResetFieldsStrategy:       jobupdatepolicy.Strategy,
		TableConvertor:            jobupdatepolicy.TableConvertor{},
	}
	if err := store.CompleteWithOptions(&generic.StoreOptions{RESTOptions: optsGetter}); err != nil {
		return nil, nil, err
	}
	status := *store
	status.UpdateStrategy = bounded.UpdateStrategy(jobupdatepolicy.StatusStrategy)
	status.ResetFieldsStrategy = jobupdatepolicy.StatusStrategy
	return &REST{store}, &registrygeneric.StatusREST{Store: &status}, nil
}

// ShortNames implements rest.ShortNamesProvider.
func (*REST) ShortNames() []string { return []string{"jup"} }

// Categories implements rest.CategoriesProvider.
func (*REST) Categories() []string { return []string{"batchgate"} }
