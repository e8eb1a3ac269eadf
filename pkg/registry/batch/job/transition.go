// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package job

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kubernetes/pkg/apis/batch"
	batchvalidation "k8s.io/kubernetes/pkg/apis/batch/validation"
	upstream "k8s.io/kubernetes/pkg/registry/batch/job"
	"k8s.io/utils/ptr"
)

var (
	selectorPath    = field.NewPath("spec", "selector")
	completionsPath = field.NewPath("spec", "completions")
)

// validateTransition validates changes of selector and completions, most of which upstream rejects. It
// rejects changes that the Job controller cannot handle.
func validateTransition(ctx context.Context, new, old *batch.Job) field.ErrorList {
	var errs field.ErrorList
	errs = append(errs, validateManualSelector(new, old)...)
	selectorChanged := !apiequality.Semantic.DeepEqual(new.Spec.Selector, old.Spec.Selector)
	completionsChanged := !ptr.Equal(new.Spec.Completions, old.Spec.Completions)
	if selectorChanged {
		errs = append(errs, validateNotFinished(old, selectorPath)...)
	}
	if completionsChanged {
		errs = append(errs, validateNotFinished(old, completionsPath)...)
	}
	if isIndexed(new) && new.Spec.Completions == nil {
		// Upstream reports this too, but then panics if the Job has a successPolicy.
		return append(errs, field.Required(completionsPath, fmt.Sprintf("when completion mode is %s", batch.IndexedCompletion)))
	}
	if selectorChanged {
		errs = append(errs, validateSelector(ctx, new, old)...)
	}
	if completionsChanged {
		errs = append(errs, validateSuspended(new)...)
		errs = append(errs, validateGang(new)...)
	}
	if completionsChanged || !ptr.Equal(new.Spec.Parallelism, old.Spec.Parallelism) {
		errs = append(errs, validateIndexes(new)...)
	}
	return errs
}

// validateNotFinished rejects the change if the Job is finished or the Job controller has
// decided its outcome. The controller would never act on the change.
func validateNotFinished(old *batch.Job, path *field.Path) field.ErrorList {
	for _, condition := range []batch.JobConditionType{batch.JobComplete, batch.JobFailed, batch.JobSuccessCriteriaMet, batch.JobFailureTarget} {
		if batchvalidation.IsConditionTrue(old.Status.Conditions, condition) {
			return field.ErrorList{field.Forbidden(path, fmt.Sprintf("may not be updated once the Job has the condition %s", condition))}
		}
	}
	return nil
}

// validateSelector applies the rules for new Jobs to a changed selector, since upstream's
// update validation only compares it with the stored one. It also requires the UID label of a
// generated selector, which upstream sets on create. A selector without it could match Pods of
// other Jobs.
func validateSelector(ctx context.Context, new, old *batch.Job) field.ErrorList {
	var errs field.ErrorList
	for _, err := range upstream.Strategy.Validate(ctx, new) {
		switch {
		case err.Field == selectorPath.String():
			err.BadValue = field.OmitValueType{} // otherwise the error prints a Go struct
			errs = append(errs, err)
		case strings.HasPrefix(err.Field, selectorPath.String()+"."):
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 || new.Spec.Selector == nil {
		return errs
	}
	errs = append(errs, validateSelectorMatchesPods(new, old)...)
	if ptr.Deref(new.Spec.ManualSelector, false) {
		if len(errs) == 0 && matchesTemplate(new) && !requiresTemplateLabel(new) {
			errs = append(errs, field.Invalid(selectorPath, field.OmitValueType{},
				"must require the value of one of the template's labels, in matchLabels or by In with one value: other selectors match Pods that the Job did not create"))
		}
		return errs
	}
	uid := string(new.UID)
	labels := new.Spec.Selector.MatchLabels
	if labels[batch.ControllerUidLabel] != uid && labels[batch.LegacyControllerUidLabel] != uid {
		errs = append(errs, field.Invalid(selectorPath.Child("matchLabels"), field.OmitValueType{},
			fmt.Sprintf("must keep %s: %s, which was generated for this Job; only a Job created with manualSelector may select without it", batch.ControllerUidLabel, uid)))
	}
	return errs
}

// validateSelectorMatchesPods rejects additions to the selector that match the Pod template but
// may not match the Pods. The Job controller releases a Pod that does not match and creates
// another one, again and again.
func validateSelectorMatchesPods(new, old *batch.Job) field.ErrorList {
	var before metav1.LabelSelector
	if old.Spec.Selector != nil {
		before = *old.Spec.Selector
	}
	var errs field.ErrorList
	for _, key := range slices.Sorted(maps.Keys(new.Spec.Selector.MatchLabels)) {
		value, stored := before.MatchLabels[key]
		if isSetPerPod(new, key) && !(stored && value == new.Spec.Selector.MatchLabels[key]) {
			errs = append(errs, field.Invalid(selectorPath.Child("matchLabels"), key, perPodMessage))
		}
	}
	// A selector may have tens of thousands of expressions, too many to compare each with all others.
	unchanged := make(map[string]bool, len(before.MatchExpressions))
	for _, requirement := range before.MatchExpressions {
		unchanged[requirementText(requirement)] = true
	}
	for i, requirement := range new.Spec.Selector.MatchExpressions {
		if unchanged[requirementText(requirement)] {
			continue
		}
		path := selectorPath.Child("matchExpressions").Index(i).Child("key")
		_, inTemplate := new.Spec.Template.Labels[requirement.Key]
		switch {
		case isSetPerPod(new, requirement.Key):
			errs = append(errs, field.Invalid(path, requirement.Key, perPodMessage))
		case !inTemplate && (requirement.Operator == metav1.LabelSelectorOpNotIn || requirement.Operator == metav1.LabelSelectorOpDoesNotExist):
			errs = append(errs, field.Invalid(path, requirement.Key,
				"is not one of the template's labels: the Job controller would release Pods that get it later, and create new ones endlessly"))
		}
	}
	return errs
}

// requirementText returns a text that is the same for equal requirements only.
func requirementText(r metav1.LabelSelectorRequirement) string {
	return fmt.Sprintf("%q %q %q", r.Key, r.Operator, r.Values)
}

// matchesTemplate reports whether the selector matches the labels of the template. Upstream rejects
// one that does not.
func matchesTemplate(j *batch.Job) bool {
	selector, err := metav1.LabelSelectorAsSelector(j.Spec.Selector)
	return err == nil && selector.Matches(labels.Set(j.Spec.Template.Labels))
}

// requiresTemplateLabel reports whether each Pod that matches the selector has a label with the
// same value as the template. Other requirements, such as NotIn or Exists, match Pods that the Job
// did not create.
func requiresTemplateLabel(j *batch.Job) bool {
	isFromTemplate := func(key, value string) bool {
		template, ok := j.Spec.Template.Labels[key]
		return ok && template == value && !isSetPerPod(j, key)
	}
	for key, value := range j.Spec.Selector.MatchLabels {
		if isFromTemplate(key, value) {
			return true
		}
	}
	return slices.ContainsFunc(j.Spec.Selector.MatchExpressions, func(r metav1.LabelSelectorRequirement) bool {
		return r.Operator == metav1.LabelSelectorOpIn && len(r.Values) == 1 && isFromTemplate(r.Key, r.Values[0])
	})
}

const perPodMessage = "has a different value in each Pod, whatever the template says: the Job controller would release Pods, and create new ones endlessly"

// isSetPerPod reports whether Pods get the value of a label after they are created from the
// template: their index from the Job controller, and their zone and region when they are bound
// to a node (by the admission plugin PodTopologyLabels).
func isSetPerPod(j *batch.Job, label string) bool {
	return label == batchv1.JobCompletionIndexAnnotation && isIndexed(j) ||
		label == corev1.LabelTopologyZone || label == corev1.LabelTopologyRegion
}

// validateManualSelector rejects an update that turns a generated selector into a manual one,
// even if a policy grants it. A second update could then remove the Job's UID from the selector
// and match Pods of other Jobs.
func validateManualSelector(new, old *batch.Job) field.ErrorList {
	if !ptr.Deref(new.Spec.ManualSelector, false) || ptr.Deref(old.Spec.ManualSelector, false) {
		return nil
	}
	return field.ErrorList{field.Forbidden(field.NewPath("spec", "manualSelector"), "may not be set once the Job exists: its selector was generated")}
}

// validateIndexes rejects completions that exclude an index that has succeeded, unless
// completions equals parallelism. The Job controller would no longer count that index, but status
// validation only lets the count decrease if completions equals parallelism. Every later status update
// would fail, and the Job would never finish.
func validateIndexes(new *batch.Job) field.ErrorList {
	if !isIndexed(new) || new.Spec.Completions == nil || ptr.Equal(new.Spec.Completions, new.Spec.Parallelism) {
		return nil
	}
	last, any := lastIndex(new.Status.CompletedIndexes)
	if !any || last < int(*new.Spec.Completions) {
		return nil
	}
	return field.ErrorList{field.Forbidden(completionsPath, fmt.Sprintf(
		"may not be lower than %d, since index %d has succeeded; to drop succeeded indexes, set parallelism to the same number in the same update", last+1, last))}
}

func isIndexed(j *batch.Job) bool {
	return ptr.Deref(j.Spec.CompletionMode, batch.NonIndexedCompletion) == batch.IndexedCompletion
}

// validateSuspended rejects completions that finish a Job which is suspended and has no start
// time. The Job controller would mark it complete, or failed if all other indexes have failed
// for good. Status validation rejects a finished Job without a start time, unless completions
// is zero, so the controller would retry until the Job is resumed.
func validateSuspended(new *batch.Job) field.ErrorList {
	if !ptr.Deref(new.Spec.Suspend, false) || new.Status.StartTime != nil || ptr.Equal(new.Spec.Completions, ptr.To[int32](0)) {
		return nil
	}
	succeeded, failed := int(new.Status.Succeeded), 0
	if isIndexed(new) && new.Spec.Completions != nil {
		succeeded = countIndexes(new.Status.CompletedIndexes, int(*new.Spec.Completions))
		failed = countIndexes(ptr.Deref(new.Status.FailedIndexes, ""), int(*new.Spec.Completions))
	}
	if uncounted := new.Status.UncountedTerminatedPods; uncounted != nil {
		succeeded += len(uncounted.Succeeded)
	}
	// One success is enough if completions is nil.
	if finished := succeeded + failed; finished == 0 || finished < int(ptr.Deref(new.Spec.Completions, 1)) {
		return nil
	}
	counted := fmt.Sprintf("%d that have succeeded", succeeded)
	if failed > 0 {
		counted += fmt.Sprintf(" and the %d that have failed for good", failed)
	}
	return field.ErrorList{field.Forbidden(completionsPath,
		fmt.Sprintf("must be greater than the %s while the Job is suspended: resume the Job first, or set 0", counted))}
}
