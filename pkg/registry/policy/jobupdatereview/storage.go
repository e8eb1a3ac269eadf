// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package jobupdatereview

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authentication/user"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/apis/policy/validation"
	"github.com/batchgate/batchgate/pkg/registry/bounded"
)

// storage has the methods that both resources share.
type storage struct {
	TableConvertor
	reviewer *Reviewer
}

// NamespaceScoped implements rest.Scoper.
func (storage) NamespaceScoped() bool { return true }

// Destroy implements rest.Storage.
func (storage) Destroy() {}

// SelfREST is the storage of selfjobupdatereviews.
type SelfREST struct{ storage }

// REST is the storage of jobupdatereviews.
type REST struct{ storage }

var (
	_ rest.Creater              = &SelfREST{}
	_ rest.Scoper               = &SelfREST{}
	_ rest.SingularNameProvider = &SelfREST{}
	_ rest.TableConvertor       = &SelfREST{}
	_ rest.Creater              = &REST{}
	_ rest.Scoper               = &REST{}
	_ rest.SingularNameProvider = &REST{}
	_ rest.TableConvertor       = &REST{}
)

// NewREST returns the storage of both resources.
func NewREST(reviewer *Reviewer) (*SelfREST, *REST) {
	return &SelfREST{storage{reviewer: reviewer}}, &REST{storage{reviewer: reviewer}}
}

// New implements rest.Storage.
func (*SelfREST) New() runtime.Object { return &policy.SelfJobUpdateReview{} }

// GetSingularName implements rest.SingularNameProvider.
func (*SelfREST) GetSingularName() string { return "selfjobupdatereview" }

// Create answers a review for the user who creates it. It stores nothing.
func (r *SelfREST) Create(ctx context.Context, obj runtime.Object, createValidation rest.ValidateObjectFunc, _ *metav1.CreateOptions) (runtime.Object, error) {
	review, ok := obj.(*policy.SelfJobUpdateReview)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a SelfJobUpdateReview: %T", obj))
	}
	asking, ok := genericapirequest.UserFrom(ctx)
	if !ok {
		return nil, apierrors.NewBadRequest("the request has no user")
	}
	if err := validate(ctx, review, "SelfJobUpdateReview", validation.ValidateSelfJobUpdateReview(review), createValidation); err != nil {
		return nil, err
	}
	status, err := r.reviewer.review(ctx, asking, &review.Spec.Job, review.Spec.Fields)
	if err != nil {
		return nil, err
	}
	review.Status = *status
	return review, nil
}

// New implements rest.Storage.
func (*REST) New() runtime.Object { return &policy.JobUpdateReview{} }

// GetSingularName implements rest.SingularNameProvider.
func (*REST) GetSingularName() string { return "jobupdatereview" }

// Create answers a review for the user in the spec. It stores nothing.
func (r *REST) Create(ctx context.Context, obj runtime.Object, createValidation rest.ValidateObjectFunc, _ *metav1.CreateOptions) (runtime.Object, error) {
	review, ok := obj.(*policy.JobUpdateReview)
	if !ok {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("not a JobUpdateReview: %T", obj))
	}
	if err := validate(ctx, review, "JobUpdateReview", validation.ValidateJobUpdateReview(review), createValidation); err != nil {
		return nil, err
	}
	reviewed := &user.DefaultInfo{Name: review.Spec.User, Groups: review.Spec.Groups}
	status, err := r.reviewer.review(ctx, reviewed, &review.Spec.Job, review.Spec.Fields)
	if err != nil {
		return nil, err
	}
	review.Status = *status
	return review, nil
}

// validate returns the validation errors of a review, or the error of validating admission.
func validate(ctx context.Context, review runtime.Object, kind string, errs field.ErrorList, admit rest.ValidateObjectFunc) error {
	if len(errs) > 0 {
		return apierrors.NewInvalid(policy.SchemeGroupVersion.WithKind(kind).GroupKind(), "", bounded.Errors(errs))
	}
	if admit == nil {
		return nil
	}
	return admit(ctx, review.DeepCopyObject())
}
