// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package storage

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/batchgate/batchgate/pkg/registry/batch/job"
	registrygeneric "github.com/batchgate/batchgate/pkg/registry/generic"
)

// StatusREST is the storage of jobs/status.
type StatusREST struct {
	registrygeneric.StatusREST
	gate     *job.Gate
	selfLink selfLink
}

var (
	_ rest.Patcher             = &StatusREST{}
	_ rest.ResetFieldsStrategy = &StatusREST{}
	_ rest.TableConvertor      = &StatusREST{}
	_ rest.Storage             = &StatusREST{}
)

// Get implements rest.Getter. Patches need it.
func (r *StatusREST) Get(ctx context.Context, name string, options *metav1.GetOptions) (runtime.Object, error) {
	obj, err := r.StatusREST.Get(ctx, name, options)
	return r.selfLink.set(obj), err
}

// Update implements rest.Updater. It never creates a Job.
func (r *StatusREST) Update(ctx context.Context, name string, objInfo rest.UpdatedObjectInfo, createValidation rest.ValidateObjectFunc, updateValidation rest.ValidateObjectUpdateFunc, _ bool, options *metav1.UpdateOptions) (runtime.Object, bool, error) {
	if err := r.gate.CheckReady(); err != nil {
		return nil, false, err
	}
	strategy := job.NewStatusStrategy(r.gate)
	store := *r.Store
	store.UpdateStrategy = strategy
	obj, created, err := store.Update(ctx, name, attempts{r.selfLink.objectInfo(objInfo), strategy.Reset}, createValidation, updateValidation, false, options)
	strategy.Publish(ctx, options, err)
	return r.selfLink.set(obj), created, err
}
