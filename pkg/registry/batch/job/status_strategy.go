package job

import (
	"context"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/kubernetes/pkg/apis/batch"
	upstream "k8s.io/kubernetes/pkg/registry/batch/job"
)

// StatusStrategy gates updates through jobs/status: they may change the status, and of the
// metadata what an update of the Job may. Upstream ignores a sent spec.
type StatusStrategy struct {
	Strategy
}

// NewStatusStrategy returns the update strategy of jobs/status.
func NewStatusStrategy(gate *Gate) StatusStrategy {
	return StatusStrategy{Strategy{upstream.StatusStrategy, gate}}
}

var (
	_ rest.RESTUpdateStrategy            = StatusStrategy{}
	_ rest.ResetFieldsStrategy           = StatusStrategy{}
	_ rest.DeclarativeValidationStrategy = StatusStrategy{}
)

// throughStatus selects the fields that jobs/status updates: metadata, and the status.
func throughStatus(granted []string) []string {
	metadata := slices.DeleteFunc(slices.Clone(granted), func(field string) bool { return strings.HasPrefix(field, "spec") })
	return append(metadata, "status")
}

// PrepareForUpdate keeps the stored spec and what is stored of the metadata that the
// update may not change.
func (s StatusStrategy) PrepareForUpdate(ctx context.Context, obj, old runtime.Object) {
	newJob, oldJob := obj.(*batch.Job), old.(*batch.Job)
	warnMetadataIgnored(ctx, newJob, oldJob)
	s.delegate.PrepareForUpdate(ctx, obj, old)
	s.decide(ctx, newJob, oldJob)
}

// ValidateUpdate refuses changes of the metadata as the main resource does, and leaves
// the status to upstream.
func (s StatusStrategy) ValidateUpdate(ctx context.Context, obj, old runtime.Object) field.ErrorList {
	if errs := s.decided(ctx, obj.(*batch.Job), old.(*batch.Job)).refusal(throughStatus); len(errs) > 0 {
		return errs
	}
	return s.delegate.ValidateUpdate(ctx, obj, old)
}
