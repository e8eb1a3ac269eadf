// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package storage is the REST storage of jobupdatepolicies and jobupdatepolicies/status.
package storage

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/generic"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/batchgate/batchgate/pkg/apis/policy"
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
func NewREST(optsGetter generic.RESTOptionsGetter) (*REST, *StatusREST, error) {
	store := &genericregistry.Store{
		NewFunc:                   func() runtime.Object { return &policy.JobUpdatePolicy{} },
		NewListFunc:               func() runtime.Object { return &policy.JobUpdatePolicyList{} },
		DefaultQualifiedResource:  policy.Resource("jobupdatepolicies"),
		SingularQualifiedResource: policy.Resource("jobupdatepolicy"),
		CreateStrategy:            jobupdatepolicy.Strategy,
		UpdateStrategy:            jobupdatepolicy.Strategy,
		DeleteStrategy:            jobupdatepolicy.Strategy,
		ResetFieldsStrategy:       jobupdatepolicy.Strategy,
		TableConvertor:            jobupdatepolicy.TableConvertor{},
	}
	if err := store.CompleteWithOptions(&generic.StoreOptions{RESTOptions: optsGetter}); err != nil {
		return nil, nil, err
	}
	status := *store
	status.UpdateStrategy = jobupdatepolicy.StatusStrategy
	status.ResetFieldsStrategy = jobupdatepolicy.StatusStrategy
	return &REST{store}, &StatusREST{&status}, nil
}

// ShortNames implements rest.ShortNamesProvider.
func (*REST) ShortNames() []string { return []string{"jup"} }

// Categories implements rest.CategoriesProvider.
func (*REST) Categories() []string { return []string{"batchgate"} }

// StatusREST is the storage of jobupdatepolicies/status.
type StatusREST struct {
	store *genericregistry.Store
}

var (
	_ rest.Patcher             = &StatusREST{}
	_ rest.ResetFieldsStrategy = &StatusREST{}
	_ rest.TableConvertor      = &StatusREST{}
	_ rest.Storage             = &StatusREST{}
)

// New implements rest.Storage.
func (r *StatusREST) New() runtime.Object { return r.store.New() }

// Destroy does nothing, since REST owns the store.
func (r *StatusREST) Destroy() {}

// Get implements rest.Getter. Patches need it.
func (r *StatusREST) Get(ctx context.Context, name string, options *metav1.GetOptions) (runtime.Object, error) {
	return r.store.Get(ctx, name, options)
}

// Update implements rest.Updater. It never creates a policy.
func (r *StatusREST) Update(ctx context.Context, name string, objInfo rest.UpdatedObjectInfo, createValidation rest.ValidateObjectFunc, updateValidation rest.ValidateObjectUpdateFunc, _ bool, options *metav1.UpdateOptions) (runtime.Object, bool, error) {
	return r.store.Update(ctx, name, objInfo, createValidation, updateValidation, false, options)
}

// GetResetFields implements rest.ResetFieldsStrategy.
func (r *StatusREST) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	return r.store.GetResetFields()
}

// ConvertToTable implements rest.TableConvertor.
func (r *StatusREST) ConvertToTable(ctx context.Context, obj, tableOptions runtime.Object) (*metav1.Table, error) {
	return r.store.ConvertToTable(ctx, obj, tableOptions)
}
