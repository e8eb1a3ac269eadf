package job

import (
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/api/operation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/kubernetes/pkg/apis/batch"
	upstream "k8s.io/kubernetes/pkg/registry/batch/job"
)

// delegate is what the gate wraps: upstream's strategy, with every interface that the
// store and rest.BeforeUpdate look for. Embedding less would lose, silently, what is
// left out.
type delegate interface {
	rest.RESTUpdateStrategy
	rest.ResetFieldsStrategy
	rest.DeclarativeValidationStrategy
}

// Strategy gates updates of a Job through the main resource.
type Strategy struct {
	delegate
	gate *Gate
}

// NewStrategy returns the update strategy of jobs.
func NewStrategy(gate *Gate) Strategy { return Strategy{upstream.Strategy, gate} }

var (
	_ rest.RESTUpdateStrategy            = Strategy{}
	_ rest.ResetFieldsStrategy           = Strategy{}
	_ rest.DeclarativeValidationStrategy = Strategy{}
)

// PrepareForUpdate keeps what is stored of every field that the update may not, or does
// not really, change. An update that is not allowed is left as it was sent, so that
// ValidateUpdate can name all of it.
func (s Strategy) PrepareForUpdate(ctx context.Context, obj, old runtime.Object) {
	newJob, oldJob := obj.(*batch.Job), old.(*batch.Job)
	warnMetadataIgnored(ctx, newJob, oldJob)
	warnStatusIgnored(ctx, newJob, oldJob)
	if len(s.decide(ctx, newJob, oldJob).refusal(all)) == 0 {
		s.delegate.PrepareForUpdate(ctx, obj, old)
	}
}

// decide lets the gate decide, and puts the decision on record.
func (s Strategy) decide(ctx context.Context, new, old *batch.Job) *decision {
	d := s.gate.decide(ctx, new, old)
	if report := reportFrom(ctx); report != nil {
		report.decision = d
	}
	return d
}

// decided returns the decision on record that is about new. Without one the gate decides
// again: it is asked of an update that it has allowed, or not touched.
func (s Strategy) decided(ctx context.Context, new, old *batch.Job) *decision {
	if report := reportFrom(ctx); report != nil && report.decision != nil && report.decision.job == new {
		return report.decision
	}
	return s.gate.decide(ctx, new, old)
}

// all is the selection of fields that jobs updates.
func all(granted []string) []string { return granted }

// ValidateUpdate refuses every change that is not allowed, and leaves the validation of
// the others to upstream, completed by the rules for the fields that upstream does not
// let change.
func (s Strategy) ValidateUpdate(ctx context.Context, obj, old runtime.Object) field.ErrorList {
	newJob, oldJob := obj.(*batch.Job), old.(*batch.Job)
	if errs := s.decided(ctx, newJob, oldJob).refusal(all); len(errs) > 0 {
		return errs
	}
	if errs := validateTransition(ctx, newJob, oldJob); len(errs) > 0 {
		return errs
	}
	return s.delegate.ValidateUpdate(ctx, newJob, withMutable(oldJob, newJob))
}

// ValidateDeclaratively skips upstream's declarative rules for an update that is refused
// already: they would judge fields that must not change at all. So have those of all objects,
// whose errors are dropped; some of them are there twice before the declarative rules are asked.
func (s Strategy) ValidateDeclaratively(ctx context.Context, obj, old runtime.Object, errs field.ErrorList, op operation.Type, config rest.DeclarativeValidationConfig) field.ErrorList {
	if refused(errs) {
		return slices.DeleteFunc(errs, func(err *field.Error) bool { return !fromGate(err) })
	}
	return s.delegate.ValidateDeclaratively(ctx, obj, old, errs, op, config)
}

// withMutable returns old as upstream's update validation is to see it: with the selector
// and the completions of new, which upstream holds immutable and the gate does not.
func withMutable(old, new *batch.Job) *batch.Job {
	shown := *old
	shown.Spec.Selector = new.Spec.Selector
	shown.Spec.Completions = new.Spec.Completions
	return &shown
}
