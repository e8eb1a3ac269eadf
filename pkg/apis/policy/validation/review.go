// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package validation

import (
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apimachineryvalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/batchgate/batchgate/pkg/apis/policy"
)

// Limits of a review. The server tries an update for each field.
const (
	maxReviewFields = 64
	maxReviewGroups = 256
	maxReviewLabels = 256
	maxReviewName   = 1024 // bytes of a user or a group
)

// maxInvalidReviewFields is lower than the limit of policies, because every user may create reviews.
const maxInvalidReviewFields = 1

// ValidateSelfJobUpdateReview validates a new review.
func ValidateSelfJobUpdateReview(r *policy.SelfJobUpdateReview) field.ErrorList {
	errs := validateReviewMetadata(&r.ObjectMeta)
	return append(errs, validateReviewed(&r.Spec.Job, r.Spec.Fields, field.NewPath("spec"))...)
}

// ValidateJobUpdateReview validates a new review.
func ValidateJobUpdateReview(r *policy.JobUpdateReview) field.ErrorList {
	errs := validateReviewMetadata(&r.ObjectMeta)
	path := field.NewPath("spec")
	if r.Spec.User == "" && len(r.Spec.Groups) == 0 {
		errs = append(errs, field.Required(path.Child("user"), "set the user, the groups, or both; to ask for yourself, create a SelfJobUpdateReview"))
	}
	if len(r.Spec.User) > maxReviewName {
		errs = append(errs, field.TooLong(path.Child("user"), "", maxReviewName))
	}
	if len(r.Spec.Groups) > maxReviewGroups {
		errs = append(errs, field.TooMany(path.Child("groups"), len(r.Spec.Groups), maxReviewGroups))
	}
	for i, group := range r.Spec.Groups[:min(len(r.Spec.Groups), maxReviewGroups)] {
		if len(group) > maxReviewName {
			errs = append(errs, field.TooLong(path.Child("groups").Index(i), "", maxReviewName))
		}
	}
	return append(errs, validateReviewed(&r.Spec.Job, r.Spec.Fields, path)...)
}

// validateReviewMetadata rejects all metadata but the namespace, as upstream does for its reviews.
func validateReviewMetadata(m *metav1.ObjectMeta) field.ErrorList {
	rest := *m
	rest.Namespace, rest.ManagedFields = "", nil
	if apiequality.Semantic.DeepEqual(rest, metav1.ObjectMeta{}) {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("metadata"), field.OmitValueType{}, "must be empty except for the namespace, because a review is not stored")}
}

func validateReviewed(job *policy.ReviewedJob, fields []string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if job.Name != "" {
		for _, message := range apimachineryvalidation.NameIsDNSSubdomain(job.Name, false) {
			errs = append(errs, field.Invalid(path.Child("job", "name"), job.Name, message))
		}
		if len(job.Labels) > 0 {
			errs = append(errs, field.Forbidden(path.Child("job", "labels"), "may not be set together with name, because the Job has its own labels"))
		}
	}
	if len(job.Labels) > maxReviewLabels {
		errs = append(errs, field.TooMany(path.Child("job", "labels"), len(job.Labels), maxReviewLabels))
	} else {
		errs = append(errs, metav1validation.ValidateLabels(job.Labels, path.Child("job", "labels"))...)
	}
	if len(fields) > maxReviewFields {
		return append(errs, field.TooMany(path.Child("fields"), len(fields), maxReviewFields))
	}
	return append(errs, validatePatterns(fields, nil, maxInvalidReviewFields, path.Child("fields"))...)
}
