// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

// Package validation validates the types of pkg/apis/policy.
package validation

import (
	"slices"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	apimachineryvalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kubernetes/pkg/apis/rbac"
	rbacvalidation "k8s.io/kubernetes/pkg/apis/rbac/validation"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/fieldpolicy/fieldpath"
)

// Limits of a policy. The server holds all policies in memory.
const (
	maxSubjects    = 256
	maxFields      = 256
	maxFieldLength = 1024
)

// maxInvalidFields is the maximum number of errors about fields. Most of them name the nearest field,
// which takes up to 50 ms to find.
const maxInvalidFields = 10

// ValidateJobUpdatePolicy validates a new policy.
func ValidateJobUpdatePolicy(p *policy.JobUpdatePolicy) field.ErrorList {
	errs := apimachineryvalidation.ValidateObjectMeta(&p.ObjectMeta, false, apimachineryvalidation.NameIsDNSSubdomain, field.NewPath("metadata"))
	return append(errs, validateSpec(&p.Spec, nil, field.NewPath("spec"))...)
}

// ValidateJobUpdatePolicyUpdate validates an update of a policy. It accepts the fields that the policy
// already has even if it cannot parse them, so that a policy with a field of a later release can be
// updated after a downgrade.
func ValidateJobUpdatePolicyUpdate(new, old *policy.JobUpdatePolicy) field.ErrorList {
	unsupported := validateSupported(old)
	// Let finalizers be removed from a policy that is being deleted, for example in the foreground. The
	// unknown fields that such an update drops no longer matter.
	if len(unsupported) > 0 && (old.DeletionTimestamp == nil || !equalExceptFinalizers(new, old)) {
		return unsupported
	}
	errs := apimachineryvalidation.ValidateObjectMetaUpdate(&new.ObjectMeta, &old.ObjectMeta, field.NewPath("metadata"))
	if len(unsupported) > 0 {
		return errs
	}
	return append(errs, validateSpec(&new.Spec, old.Spec.Fields, field.NewPath("spec"))...)
}

// ValidateJobUpdatePolicyStatusUpdate validates an update of a policy's status.
func ValidateJobUpdatePolicyStatusUpdate(new, old *policy.JobUpdatePolicy) field.ErrorList {
	if errs := validateSupported(old); len(errs) > 0 {
		return errs
	}
	errs := apimachineryvalidation.ValidateObjectMetaUpdate(&new.ObjectMeta, &old.ObjectMeta, field.NewPath("metadata"))
	path := field.NewPath("status")
	if new.Status.ObservedGeneration < 0 {
		errs = append(errs, field.Invalid(path.Child("observedGeneration"), new.Status.ObservedGeneration, "must not be negative"))
	}
	return append(errs, metav1validation.ValidateConditions(new.Status.Conditions, path.Child("conditions"))...)
}

func equalExceptFinalizers(new, old *policy.JobUpdatePolicy) bool {
	changed := *new
	changed.Finalizers, changed.ManagedFields = old.Finalizers, old.ManagedFields
	return apiequality.Semantic.DeepEqual(&changed, old)
}

// validateSupported rejects updates of a policy that this release cannot decode completely. An update
// would drop the fields that this release does not know.
func validateSupported(old *policy.JobUpdatePolicy) field.ErrorList {
	c := meta.FindStatusCondition(old.Status.Conditions, policy.ConditionSupported)
	if c == nil || c.Status != metav1.ConditionFalse {
		return nil
	}
	return field.ErrorList{field.Forbidden(field.NewPath("spec"), "may not be updated with this release: "+c.Message)}
}

func validateSpec(spec *policy.JobUpdatePolicySpec, existing []string, path *field.Path) field.ErrorList {
	errs := validateSubjects(spec, path.Child("subjects"))
	errs = append(errs, validateSelector(spec.NamespaceSelector, path.Child("namespaceSelector"))...)
	errs = append(errs, validateSelector(spec.JobSelector, path.Child("jobSelector"))...)
	errs = append(errs, validateFields(spec.Fields, existing, path.Child("fields"))...)
	switch spec.Action {
	case policy.Allow, policy.Warn:
	default:
		errs = append(errs, field.NotSupported(path.Child("action"), spec.Action, []policy.Action{policy.Allow, policy.Warn}))
	}
	return errs
}

func validateSubjects(spec *policy.JobUpdatePolicySpec, path *field.Path) field.ErrorList {
	if len(spec.Subjects) > maxSubjects {
		return field.ErrorList{field.TooMany(path, len(spec.Subjects), maxSubjects)}
	}
	var errs field.ErrorList
	for i, subject := range spec.Subjects {
		errs = append(errs, rbacvalidation.ValidateRoleBindingSubject(rbac.Subject(subject), false, path.Index(i))...)
		if subject.Kind != rbac.ServiceAccountKind && subject.Namespace != "" {
			errs = append(errs, field.Forbidden(path.Index(i).Child("namespace"), "may only be set for a ServiceAccount"))
		}
	}
	return errs
}

func validateSelector(selector *metav1.LabelSelector, path *field.Path) field.ErrorList {
	if selector == nil {
		return field.ErrorList{field.Required(path, "use {} to select all")}
	}
	return metav1validation.ValidateLabelSelector(selector, metav1validation.LabelSelectorValidationOptions{}, path)
}

// validateFields validates the fields of a policy. It accepts the fields in existing even if it cannot
// parse them.
func validateFields(fields, existing []string, path *field.Path) field.ErrorList {
	switch {
	case len(fields) == 0:
		return field.ErrorList{field.Required(path, "name the fields whose changes are granted, for example spec.suspend, or * for all")}
	case len(fields) > maxFields:
		return field.ErrorList{field.TooMany(path, len(fields), maxFields)}
	}
	return validatePatterns(fields, existing, maxInvalidFields, path)
}

// validatePatterns validates path patterns until maxInvalid of them are invalid. It accepts the ones in
// existing even if it cannot parse them.
func validatePatterns(fields, existing []string, maxInvalid int, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := sets.New[string]()
	for i, text := range fields {
		if len(errs) == maxInvalid {
			errs[len(errs)-1].Detail += "; the fields after it are not validated yet"
			break
		}
		if len(text) > maxFieldLength {
			errs = append(errs, field.TooLong(path.Index(i), text, maxFieldLength))
			continue
		}
		canonical := text
		parsed, err := fieldpath.ParsePattern(text)
		if err == nil {
			canonical = parsed.String()
		}
		switch {
		case seen.Has(canonical):
			errs = append(errs, field.Duplicate(path.Index(i), text))
		case err != nil && !slices.Contains(existing, text):
			errs = append(errs, field.Invalid(path.Index(i), text, err.Error()))
		}
		seen.Insert(canonical)
	}
	return errs
}
