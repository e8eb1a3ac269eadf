// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

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

	"github.com/batchgate/batchgate/pkg/fieldpolicy"
)

// StatusStrategy is the update strategy of jobs/status for one request. An update may change the
// status, and also the metadata that the user may change through the Job itself. Upstream ignores the
// spec.
type StatusStrategy struct {
	Strategy
}

// NewStatusStrategy returns a strategy for one request.
func NewStatusStrategy(gate *Gate) *StatusStrategy {
	return &StatusStrategy{Strategy{
		delegate: upstream.StatusStrategy, gate: gate, subresource: "status", updatable: updatableThroughStatus, err: errNotEvaluated,
	}}
}

var (
	_ rest.RESTUpdateStrategy            = &StatusStrategy{}
	_ rest.ResetFieldsStrategy           = &StatusStrategy{}
	_ rest.DeclarativeValidationStrategy = &StatusStrategy{}
)

// updatableThroughStatus returns the updatable fields outside the spec, and the status.
func updatableThroughStatus(d *fieldpolicy.Decision) []string {
	metadata := slices.DeleteFunc(slices.Clone(d.UpdatableFields), func(field string) bool { return strings.HasPrefix(field, "spec") })
	return append(metadata, "status")
}

// PrepareForUpdate resets the spec and evaluates what remains of the update.
func (s *StatusStrategy) PrepareForUpdate(ctx context.Context, obj, old runtime.Object) {
	newJob, oldJob := obj.(*batch.Job), old.(*batch.Job)
	warnMetadataIgnored(ctx, newJob, oldJob)
	s.delegate.PrepareForUpdate(ctx, obj, old)
	s.evaluate(ctx, newJob, oldJob)
}

// ValidateUpdate returns an error for each denied path, or the errors of upstream's validation
// of the status.
func (s *StatusStrategy) ValidateUpdate(ctx context.Context, obj, old runtime.Object) field.ErrorList {
	if denials := s.denials(ctx, obj); len(denials) > 0 {
		return denials
	}
	return s.delegate.ValidateUpdate(ctx, obj, old)
}
