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

// StatusREST is the storage of jobs/status. Upstream's keeps its store, and with it its
// strategy, to itself.
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

// Destroy does nothing: the store is that of REST.
func (r *StatusREST) Destroy() {}

// Get implements rest.Getter, which patches need.
func (r *StatusREST) Get(ctx context.Context, name string, options *metav1.GetOptions) (runtime.Object, error) {
	obj, err := r.store.Get(ctx, name, options)
	return r.selfLink.fill(obj), err
}

// Update implements rest.Updater. A subresource never creates.
func (r *StatusREST) Update(ctx context.Context, name string, objInfo rest.UpdatedObjectInfo, createValidation rest.ValidateObjectFunc, updateValidation rest.ValidateObjectUpdateFunc, _ bool, options *metav1.UpdateOptions) (runtime.Object, bool, error) {
	if err := r.gate.CheckReady(); err != nil {
		return nil, false, err
	}
	ctx, report := job.WithReport(ctx, "status")
	obj, created, err := r.store.Update(ctx, name, r.selfLink.objectInfo(objInfo), createValidation, updateValidation, false, options)
	report.Publish(ctx, err)
	return r.selfLink.fill(obj), created, err
}

// GetResetFields implements rest.ResetFieldsStrategy.
func (r *StatusREST) GetResetFields() map[fieldpath.APIVersion]*fieldpath.Set {
	return r.store.GetResetFields()
}

// ConvertToTable implements rest.TableConvertor.
func (r *StatusREST) ConvertToTable(ctx context.Context, object, tableOptions runtime.Object) (*metav1.Table, error) {
	return r.store.ConvertToTable(ctx, object, tableOptions)
}
