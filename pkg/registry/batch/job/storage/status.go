// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package storage

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	genericregistry "k8s.io/apiserver/pkg/registry/generic/registry"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/kubernetes/pkg/apis/batch"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"

	"github.com/batchgate/batchgate/pkg/registry/batch/job"
)

// StatusREST is the storage of jobs/status. It does not wrap upstream's StatusREST, because that
// one does not export its store.
type StatusREST struct {
	store    *genericregistry.Store
	gate     *job.Gate
	selfLink selfLink
}

var (
	_ rest.Patcher             = &StatusREST{}
	_ rest.ResetFieldsStrategy = &StatusREST{}
	_ rest.TableConvertor      = &StatusREST{}
	_ rest.Storage             = &StatusREST{}
)

// New implements rest.Storage.
func (r *StatusREST) New() runtime.Object { return &batch.Job{} }

// Destroy does nothing, since REST owns the store.
func (r *StatusREST) Destroy() {}

// Get implements rest.Getter. Patches need it.
func (r *StatusREST) Get(ctx context.Context, name string, options *metav1.GetOptions) (runtime.Object, error) {
	obj, err := r.store.Get(ctx, name, options)
	return r.selfLink.set(obj), err
}

// Update implements rest.Updater. It never creates a Job.
func (r *StatusREST) Update(ctx context.Context, name string, objInfo rest.UpdatedObjectInfo, createValidation rest.ValidateObjectFunc, updateValidation rest.ValidateObjectUpdateFunc, _ bool, options *metav1.UpdateOptions) (runtime.Object, bool, error) {
	if err := r.gate.CheckReady(); err != nil {
		return nil, false, err
	}
	strategy := job.NewStatusStrategy(r.gate)
	store := *r.store
	store.UpdateStrategy = strategy
	obj, created, err := store.Update(ctx, name, attempts{r.selfLink.objectInfo(objInfo), strategy.Reset}, createValidation, updateValidation, false, options)
	strategy.Publish(ctx, err)
	return r.selfLink.set(obj), created, err
}

// GetResetFields implements rest.ResetFieldsStrategy.
func (r *StatusREST) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	return r.store.GetResetFields()
}

// ConvertToTable implements rest.TableConvertor.
func (r *StatusREST) ConvertToTable(ctx context.Context, object, tableOptions runtime.Object) (*metav1.Table, error) {
	return r.store.ConvertToTable(ctx, object, tableOptions)
}
