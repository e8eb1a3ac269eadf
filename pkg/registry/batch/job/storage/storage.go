// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package storage is the REST storage of jobs and jobs/status. It differs from upstream's
// k8s.io/kubernetes/pkg/registry/batch/job/storage in the update strategies, which are created
// for each request, and in metadata.selfLink, which it serves in responses with a single Job.
package storage

import (
	"context"
	"fmt"
	goruntime "runtime"
	"runtime/debug"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/registry/generic"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/klog/v2"
	"k8s.io/kubernetes/pkg/apis/batch"
	upstream "k8s.io/kubernetes/pkg/registry/batch/job/storage"

	"github.com/batchgate/batchgate/pkg/registry/batch/job"
	"github.com/batchgate/batchgate/pkg/registry/bounded"
	registrygeneric "github.com/batchgate/batchgate/pkg/registry/generic"
)

// Options configures the Job storage.
type Options struct {
	// ServeSelfLink sets metadata.selfLink in responses with a single Job.
	ServeSelfLink bool
	// Gate evaluates updates. Required.
	Gate *job.Gate
}

// NewREST returns the storage of jobs and of jobs/status. They share one store and its watch
// cache.
func NewREST(optsGetter generic.RESTOptionsGetter, opts Options) (*REST, *StatusREST, error) {
	jobs, err := upstream.NewStorage(optsGetter)
	if err != nil {
		return nil, nil, err
	}
	// The Update methods replace the update strategy in a copy of the store. The strategies here have no
	// gate, so they deny every update that does not go through these methods.
	strategy := job.NewStrategy(nil)
	jobs.Job.CreateStrategy = bounded.CreateStrategy(jobs.Job.CreateStrategy)
	jobs.Job.UpdateStrategy = strategy
	jobs.Job.ResetFieldsStrategy = strategy

	status := *jobs.Job.Store
	statusStrategy := job.NewStatusStrategy(nil)
	status.UpdateStrategy = statusStrategy
	status.ResetFieldsStrategy = statusStrategy

	link := selfLink{serve: opts.ServeSelfLink}
	return &REST{REST: jobs.Job, gate: opts.Gate, selfLink: link}, &StatusREST{StatusREST: registrygeneric.StatusREST{Store: &status}, gate: opts.Gate, selfLink: link}, nil
}

// REST is the storage of jobs.
type REST struct {
	*upstream.REST
	gate     *job.Gate
	selfLink selfLink
}

var (
	_ rest.StandardStorage      = &REST{}
	_ rest.StorageWithReadiness = &REST{}
	_ rest.ResetFieldsStrategy  = &REST{}
	_ rest.CategoriesProvider   = &REST{}
	_ rest.SingularNameProvider = &REST{}
)

// Get implements rest.Getter.
func (r *REST) Get(ctx context.Context, name string, options *metav1.GetOptions) (runtime.Object, error) {
	obj, err := r.REST.Get(ctx, name, options)
	return r.selfLink.set(obj), err
}

// Create implements rest.Creater.
func (r *REST) Create(ctx context.Context, obj runtime.Object, createValidation rest.ValidateObjectFunc, options *metav1.CreateOptions) (runtime.Object, error) {
	obj, err := r.REST.Create(ctx, obj, createValidation, options)
	return r.selfLink.set(obj), err
}

// Update implements rest.Updater.
func (r *REST) Update(ctx context.Context, name string, objInfo rest.UpdatedObjectInfo, createValidation rest.ValidateObjectFunc, updateValidation rest.ValidateObjectUpdateFunc, forceAllowCreate bool, options *metav1.UpdateOptions) (runtime.Object, bool, error) {
	if err := r.gate.CheckReady(); err != nil {
		return nil, false, err
	}
	strategy := job.NewStrategy(r.gate)
	store := *r.Store
	store.UpdateStrategy = strategy
	jobs := *r.REST
	jobs.Store = &store
	obj, created, err := jobs.Update(ctx, name, attempts{r.selfLink.objectInfo(objInfo), strategy.Reset}, createValidation, updateValidation, forceAllowCreate, options)
	strategy.Publish(ctx, options, err)
	return r.selfLink.set(obj), created, err
}

// Delete implements rest.GracefulDeleter.
func (r *REST) Delete(ctx context.Context, name string, deleteValidation rest.ValidateObjectFunc, options *metav1.DeleteOptions) (runtime.Object, bool, error) {
	obj, deleted, err := r.REST.Delete(ctx, name, deleteValidation, options)
	return r.selfLink.set(obj), deleted, err
}

// attempts calls reset at the start of each attempt to update a Job. The store repeats an update
// that conflicts with another one.
type attempts struct {
	rest.UpdatedObjectInfo
	reset func()
}

// UpdatedObject implements rest.UpdatedObjectInfo.
func (a attempts) UpdatedObject(ctx context.Context, old runtime.Object) (runtime.Object, error) {
	a.reset()
	return a.UpdatedObjectInfo.UpdatedObject(ctx, old)
}

// selfLink serves metadata.selfLink. It is never stored.
type selfLink struct {
	serve bool
}

// set sets the selfLink of obj if obj is a Job, and returns obj.
func (l selfLink) set(obj runtime.Object) runtime.Object {
	if j, ok := obj.(*batch.Job); ok && j != nil && l.serve {
		j.SelfLink = job.SelfLink(j.Namespace, j.Name)
	}
	return obj
}

// objectInfo wraps info. The result returns a conflict if the UID differs from the stored one, for
// every kind of request. It applies a patch to the Job with the selfLink that a get returns, so
// that a JSON Patch may test or replace it.
func (l selfLink) objectInfo(info rest.UpdatedObjectInfo) rest.UpdatedObjectInfo {
	return updatedObjectInfo{info, l}
}

type updatedObjectInfo struct {
	rest.UpdatedObjectInfo
	selfLink selfLink
}

// UpdatedObject implements rest.UpdatedObjectInfo.
func (i updatedObjectInfo) UpdatedObject(ctx context.Context, old runtime.Object) (runtime.Object, error) {
	stored, ok := old.(*batch.Job)
	if !ok || stored.UID == "" { // server-side apply creates the Job
		return i.UpdatedObjectInfo.UpdatedObject(ctx, old)
	}
	visible := *stored // stored may belong to the watch cache
	obj, err := i.apply(ctx, i.selfLink.set(&visible))
	if err != nil {
		return nil, err
	}
	if sent, ok := obj.(*batch.Job); ok && sent.UID != "" && sent.UID != stored.UID {
		return nil, apierrors.NewConflict(batch.Resource("jobs"), stored.Name,
			fmt.Errorf("the UID in the request is %s, but the UID of the stored Job is %s", sent.UID, stored.UID))
	}
	return obj, nil
}

// apply applies the update to the stored Job. Upstream's package strategicpatch panics on a
// strategic merge patch whose merge key is not a scalar. apply returns 400 for such a
// patch, because it is invalid, and does not recover from other panics.
func (i updatedObjectInfo) apply(ctx context.Context, stored runtime.Object) (obj runtime.Object, err error) {
	defer func() {
		reason := recover()
		if reason == nil {
			return
		}
		fault, ok := reason.(goruntime.Error)
		if !ok || !strings.Contains(fault.Error(), "comparing uncomparable type") {
			panic(reason)
		}
		klog.FromContext(ctx).Error(fault, "Failed to apply an update", "stack", string(debug.Stack()))
		err = apierrors.NewBadRequest(fmt.Sprintf("the update cannot be applied to the stored Job: %v", fault))
	}()
	return i.UpdatedObjectInfo.UpdatedObject(ctx, stored)
}
