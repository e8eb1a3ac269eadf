// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package job

import (
	"context"
	"errors"

	"k8s.io/apimachinery/pkg/api/operation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/kubernetes/pkg/apis/batch"
	upstream "k8s.io/kubernetes/pkg/registry/batch/job"

	"github.com/batchgate/batchgate/pkg/fieldpolicy"
	"github.com/batchgate/batchgate/pkg/registry/bounded"
)

// delegate is the upstream strategy that a strategy wraps. It names every interface that the
// store and rest.BeforeUpdate assert, because embedding fewer would silently lose some.
type delegate interface {
	rest.RESTUpdateStrategy
	rest.ResetFieldsStrategy
	rest.DeclarativeValidationStrategy
}

// Strategy is the update strategy of jobs for one request. It is not safe for concurrent use.
type Strategy struct {
	delegate
	gate *Gate
	// subresource is empty for the Job itself.
	subresource string
	// updatable returns the updatable fields to name in a denial.
	updatable func(*fieldpolicy.Decision) []string

	// The result of the last evaluation. Either decision or err is set.
	evaluated *batch.Job
	decision  *fieldpolicy.Decision
	err       error
	// stored is the Job before the update. It may belong to the watch cache.
	stored *batch.Job
}

// errNotEvaluated denies an update that PrepareForUpdate has not seen.
var errNotEvaluated = errors.New("the update was not evaluated against the JobUpdatePolicies")

// NewStrategy returns a strategy for one request. Without a gate it denies all updates and has no
// state, so that a store may share it.
func NewStrategy(gate *Gate) *Strategy {
	return &Strategy{delegate: upstream.Strategy, gate: gate, updatable: updatableFields, err: errNotEvaluated}
}

func updatableFields(d *fieldpolicy.Decision) []string { return d.UpdatableFields }

var (
	_ rest.RESTUpdateStrategy            = &Strategy{}
	_ rest.ResetFieldsStrategy           = &Strategy{}
	_ rest.DeclarativeValidationStrategy = &Strategy{}
)

// PrepareForUpdate evaluates the update and sets obj to the Job to store. If the update is denied,
// it leaves obj unchanged, and ValidateUpdate returns the errors.
func (s *Strategy) PrepareForUpdate(ctx context.Context, obj, old runtime.Object) {
	newJob, oldJob := obj.(*batch.Job), old.(*batch.Job)
	warnMetadataIgnored(ctx, newJob, oldJob)
	warnStatusIgnored(ctx, newJob, oldJob)
	if s.evaluate(ctx, newJob, oldJob) {
		s.delegate.PrepareForUpdate(ctx, obj, old)
	}
}

// evaluate records the decision. If the update is granted, it also overwrites new with the Job to store,
// and returns true.
func (s *Strategy) evaluate(ctx context.Context, new, old *batch.Job) bool {
	if s.gate == nil {
		return false
	}
	s.evaluated, s.stored = new, old
	s.decision, s.err = s.gate.evaluate(ctx, new, old)
	if s.err != nil || s.decision.Outcome == fieldpolicy.Deny {
		return false
	}
	*new = *s.decision.Job
	return true
}

// Reset discards the decision. The storage calls it before each attempt to update the Job, so
// that Publish does not report an earlier attempt.
func (s *Strategy) Reset() {
	s.evaluated, s.stored, s.decision, s.err = nil, nil, nil, errNotEvaluated
}

// denials returns the errors of a denied update, and nil if it is granted. An update that was
// not evaluated, or could not be, is denied.
func (s *Strategy) denials(ctx context.Context, obj runtime.Object) field.ErrorList {
	switch {
	case s.err != nil:
		return field.ErrorList{field.InternalError(nil, s.err)}
	case obj != s.evaluated:
		return field.ErrorList{field.InternalError(nil, errNotEvaluated)}
	case s.decision.TooManyChanges:
		return field.ErrorList{tooManyChanges(s.decision.DeniedPaths())}
	case s.decision.Outcome == fieldpolicy.Deny:
		return forbidden(s.decision.DeniedPaths(), s.updatable(s.decision), userFrom(ctx).Name)
	}
	return nil
}

// ValidateUpdate returns an error for each denied path. For a granted update it returns the errors of
// validateTransition, which validates changes of selector and completions, or, if there are none, those
// of upstream's validation.
func (s *Strategy) ValidateUpdate(ctx context.Context, obj, old runtime.Object) field.ErrorList {
	if denials := s.denials(ctx, obj); len(denials) > 0 {
		return denials
	}
	newJob, oldJob := obj.(*batch.Job), old.(*batch.Job)
	if errs := validateTransition(ctx, newJob, oldJob); len(errs) > 0 {
		return errs
	}
	return s.delegate.ValidateUpdate(ctx, newJob, withMutableFields(oldJob, newJob))
}

// ValidateDeclaratively replaces errs with the denials if the update is denied. Errors about the
// values of denied changes would only distract, and rest.BeforeUpdate has already added some of
// them to errs.
func (s *Strategy) ValidateDeclaratively(ctx context.Context, obj, old runtime.Object, errs field.ErrorList, op operation.Type, config rest.DeclarativeValidationConfig) field.ErrorList {
	if denials := s.denials(ctx, obj); len(denials) > 0 {
		return bounded.Errors(denials)
	}
	return bounded.ValidateDeclaratively(ctx, s.delegate, obj, old, errs, op, config)
}

// withMutableFields returns old with the selector and completions of new. Upstream's validation rejects
// most changes of these two, and validateTransition validates them instead.
func withMutableFields(old, new *batch.Job) *batch.Job {
	job := *old
	job.Spec.Selector = new.Spec.Selector
	job.Spec.Completions = new.Spec.Completions
	return &job
}
