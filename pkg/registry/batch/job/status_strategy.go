package job

import (
	"context"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/kubernetes/pkg/apis/batch"
	upstream "k8s.io/kubernetes/pkg/registry/batch/job"
)

// statusStrategy gates updates through jobs/status: they may change the status, and of the
// metadata what an update of the Job may. Upstream ignores a sent spec.
type statusStrategy struct {
	strategy
}

// StatusStrategy is the update strategy of jobs/status.
var StatusStrategy = statusStrategy{strategy{upstream.StatusStrategy}}

var (
	_ rest.RESTUpdateStrategy            = StatusStrategy
	_ rest.ResetFieldsStrategy           = StatusStrategy
	_ rest.DeclarativeValidationStrategy = StatusStrategy
)

// updatableThroughStatus is what a refused update of jobs/status is told.
var updatableThroughStatus = []string{"metadata.labels", "status"}

// PrepareForUpdate keeps the stored spec and what is stored of the metadata that the
// update may not change.
func (s statusStrategy) PrepareForUpdate(ctx context.Context, obj, old runtime.Object) {
	newJob, oldJob := obj.(*batch.Job), old.(*batch.Job)
	warnMetadataIgnored(ctx, newJob, oldJob)
	s.delegate.PrepareForUpdate(ctx, obj, old)
	keep(ctx, newJob, oldJob)
}

// ValidateUpdate refuses changes of the metadata as the main resource does, and leaves
// the status to upstream.
func (s statusStrategy) ValidateUpdate(ctx context.Context, obj, old runtime.Object) field.ErrorList {
	if errs := refuse(ctx, obj.(*batch.Job), old.(*batch.Job), updatableThroughStatus); len(errs) > 0 {
		return errs
	}
	return s.delegate.ValidateUpdate(ctx, obj, old)
}
