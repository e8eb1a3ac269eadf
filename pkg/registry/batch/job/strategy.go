package job

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/operation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/batch"
	upstream "k8s.io/kubernetes/pkg/registry/batch/job"

	"github.com/batchgate/batchgate/pkg/fieldpolicy"
)

// delegate is what the gate wraps: upstream's strategy, with every interface that the
// store and rest.BeforeUpdate look for. Embedding less would lose, silently, what is
// left out.
type delegate interface {
	rest.RESTUpdateStrategy
	rest.ResetFieldsStrategy
	rest.DeclarativeValidationStrategy
}

// strategy gates updates of a Job through the main resource.
type strategy struct {
	delegate
}

// Strategy is the update strategy of jobs.
var Strategy = strategy{upstream.Strategy}

var (
	_ rest.RESTUpdateStrategy            = Strategy
	_ rest.ResetFieldsStrategy           = Strategy
	_ rest.DeclarativeValidationStrategy = Strategy
)

// PrepareForUpdate keeps what is stored of every field that the update may not, or does
// not really, change. An update that is not allowed is left as it was sent, so that
// ValidateUpdate can name all of it.
func (s strategy) PrepareForUpdate(ctx context.Context, obj, old runtime.Object) {
	newJob, oldJob := obj.(*batch.Job), old.(*batch.Job)
	warnMetadataIgnored(ctx, newJob, oldJob)
	warnStatusIgnored(ctx, newJob, oldJob)
	if keep(ctx, newJob, oldJob) {
		s.delegate.PrepareForUpdate(ctx, obj, old)
	}
}

// ValidateUpdate refuses every change that is not allowed, and leaves the validation of
// the others to upstream, completed by the rules for the fields that upstream does not
// let change.
func (s strategy) ValidateUpdate(ctx context.Context, obj, old runtime.Object) field.ErrorList {
	newJob, oldJob := obj.(*batch.Job), old.(*batch.Job)
	if errs := refuse(ctx, newJob, oldJob, fieldpolicy.Updatable); len(errs) > 0 {
		return errs
	}
	if errs := validateTransition(ctx, newJob, oldJob); len(errs) > 0 {
		return errs
	}
	return s.delegate.ValidateUpdate(ctx, newJob, withMutable(oldJob, newJob))
}

// ValidateDeclaratively skips upstream's declarative rules for an update that is refused
// already: they would judge fields that must not change at all.
func (s strategy) ValidateDeclaratively(ctx context.Context, obj, old runtime.Object, errs field.ErrorList, op operation.Type, config rest.DeclarativeValidationConfig) field.ErrorList {
	if refused(errs) {
		return errs
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

// keep makes new what fieldpolicy.Keep returns for the user of the request, and reports
// whether the update is allowed. Where it is not, new is left as it is.
func keep(ctx context.Context, new, old *batch.Job) bool {
	kept, allowed := fieldpolicy.Keep(new, old, userFrom(ctx))
	if allowed {
		*new = *kept
	}
	return allowed
}

// refuse returns an error for each change that is not allowed, none if all are.
func refuse(ctx context.Context, new, old *batch.Job, updatable []string) field.ErrorList {
	user := userFrom(ctx)
	if _, allowed := fieldpolicy.Keep(new, old, user); allowed {
		return nil
	}
	newV1, oldV1 := &batchv1.Job{}, &batchv1.Job{}
	for in, out := range map[*batch.Job]*batchv1.Job{new: newV1, old: oldV1} {
		if err := legacyscheme.Scheme.Convert(in, out, nil); err != nil {
			return field.ErrorList{field.InternalError(nil, fmt.Errorf("comparing the Job with the stored one: %w", err))}
		}
	}
	return forbidden(fieldpolicy.Refused(newV1, oldV1, user), updatable)
}

func userFrom(ctx context.Context) fieldpolicy.User {
	user, ok := genericapirequest.UserFrom(ctx)
	if !ok {
		return fieldpolicy.User{}
	}
	return fieldpolicy.User{Name: user.GetName()}
}
