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

// validateTransition judges what upstream does not: changes of selector and completions,
// which upstream holds immutable, and what they mean to the Job controller.
func validateTransition(ctx context.Context, new, old *batch.Job) field.ErrorList {
	var errs field.ErrorList
	errs = append(errs, validateManualSelectorKept(new, old)...)
	selectorChanged := !apiequality.Semantic.DeepEqual(new.Spec.Selector, old.Spec.Selector)
	completionsChanged := !ptr.Equal(new.Spec.Completions, old.Spec.Completions)
	if selectorChanged {
		errs = append(errs, validateOutcomeOpen(old, selectorPath)...)
	}
	if completionsChanged {
		errs = append(errs, validateOutcomeOpen(old, completionsPath)...)
	}
	if isIndexed(new) && new.Spec.Completions == nil {
		// Upstream says so too, but then panics over a successPolicy.
		return append(errs, field.Required(completionsPath, fmt.Sprintf("when completion mode is %s", batch.IndexedCompletion)))
	}
	if selectorChanged {
		errs = append(errs, validateSelector(ctx, new, old)...)
	}
	if completionsChanged {
		errs = append(errs, validateSuspendedStaysOpen(new)...)
		errs = append(errs, validateGangFits(new)...)
	}
	if completionsChanged || !ptr.Equal(new.Spec.Parallelism, old.Spec.Parallelism) {
		errs = append(errs, validateIndexesKept(new)...)
	}
	return errs
}

// validateOutcomeOpen refuses the change of a Job that is finished, or whose outcome the
// Job controller has decided: it would never act on the change.
func validateOutcomeOpen(old *batch.Job, path *field.Path) field.ErrorList {
	for _, decided := range []batch.JobConditionType{batch.JobComplete, batch.JobFailed, batch.JobSuccessCriteriaMet, batch.JobFailureTarget} {
		if batchvalidation.IsConditionTrue(old.Status.Conditions, decided) {
			return field.ErrorList{field.Forbidden(path, fmt.Sprintf("may not be updated once the Job has the condition %s", decided))}
		}
	}
	return nil
}

// validateSelector holds a changed selector to the rules of create. Upstream's update
// validation only compares it with the stored one, and its create fills in what a
// generated selector needs, so that part is checked here: a selector without the label
// of this Job's UID could claim the pods of another.
func validateSelector(ctx context.Context, new, old *batch.Job) field.ErrorList {
	var errs field.ErrorList
	for _, err := range upstream.Strategy.Validate(ctx, new) {
		switch {
		case err.Field == selectorPath.String():
			err.BadValue = field.OmitValueType{} // the whole selector, as a Go struct
			errs = append(errs, err)
		case strings.HasPrefix(err.Field, selectorPath.String()+"."):
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 || new.Spec.Selector == nil {
		return errs
	}
	errs = append(errs, validateSelectorHolds(new, old)...)
	if ptr.Deref(new.Spec.ManualSelector, false) {
		if len(new.Spec.Selector.MatchLabels)+len(new.Spec.Selector.MatchExpressions) == 0 {
			errs = append(errs, field.Required(selectorPath, "an empty selector would claim every Pod of the namespace that has no controller"))
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

// validateSelectorHolds refuses to add to a selector what the template matches, and its Pods may
// not. The Job controller would let go of such a Pod as soon as it sees the label, and make
// another one, without end.
func validateSelectorHolds(new, old *batch.Job) field.ErrorList {
	var before metav1.LabelSelector
	if old.Spec.Selector != nil {
		before = *old.Spec.Selector
	}
	var errs field.ErrorList
	for _, key := range slices.Sorted(maps.Keys(new.Spec.Selector.MatchLabels)) {
		value, stored := before.MatchLabels[key]
		if isOfPods(new, key) && !(stored && value == new.Spec.Selector.MatchLabels[key]) {
			errs = append(errs, field.Invalid(selectorPath.Child("matchLabels"), key, ofPods))
		}
	}
	for i, requirement := range new.Spec.Selector.MatchExpressions {
		if slices.ContainsFunc(before.MatchExpressions, func(stored metav1.LabelSelectorRequirement) bool {
			return apiequality.Semantic.DeepEqual(stored, requirement)
		}) {
			continue
		}
		path := selectorPath.Child("matchExpressions").Index(i).Child("key")
		_, inTemplate := new.Spec.Template.Labels[requirement.Key]
		switch {
		case isOfPods(new, requirement.Key):
			errs = append(errs, field.Invalid(path, requirement.Key, ofPods))
		case !inTemplate && (requirement.Operator == metav1.LabelSelectorOpNotIn || requirement.Operator == metav1.LabelSelectorOpDoesNotExist):
			errs = append(errs, field.Invalid(path, requirement.Key,
				"is not one of the template's labels: the Job controller would let go of Pods that get it later, and make others without end"))
		}
	}
	return errs
}

const ofPods = "has a value of its own in each Pod, whatever the template says: the Job controller would let go of Pods, and make others without end"

// isOfPods reports whether Pods of the Job get a label later than from the template: the index
// from the Job controller, and where they run from their binding to a node (the admission plugin
// PodTopologyLabels).
func isOfPods(j *batch.Job, label string) bool {
	return label == batchv1.JobCompletionIndexAnnotation && isIndexed(j) ||
		label == corev1.LabelTopologyZone || label == corev1.LabelTopologyRegion
}

// validateManualSelectorKept refuses to make a generated selector a manual one, which a policy
// may grant and upstream does not mind: with that done, a second update could take the Job's
// UID out of the selector, and claim the Pods of other Jobs.
func validateManualSelectorKept(new, old *batch.Job) field.ErrorList {
	if !ptr.Deref(new.Spec.ManualSelector, false) || ptr.Deref(old.Spec.ManualSelector, false) {
		return nil
	}
	return field.ErrorList{field.Forbidden(field.NewPath("spec", "manualSelector"), "may not be set once the Job exists: its selector was generated")}
}

// validateIndexesKept refuses to leave an index that has succeeded outside completions,
// unless completions equals parallelism. The Job controller would count it no more, and
// the validation of the status lets that count fall in that case only: every later update
// of the status would fail, and the Job never finish.
func validateIndexesKept(new *batch.Job) field.ErrorList {
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

// validateSuspendedStaysOpen refuses to end a Job by lowering its completions while it is
// suspended and has no start time. The Job controller would declare it complete, or failed
// where all other indexes have failed for good, and the validation of the status refuses a
// finished Job without a start time, unless completions is zero: the controller would try
// until the Job is resumed, or for ever.
func validateSuspendedStaysOpen(new *batch.Job) field.ErrorList {
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
	// Without completions, one success is enough.
	if ended := succeeded + failed; ended == 0 || ended < int(ptr.Deref(new.Spec.Completions, 1)) {
		return nil
	}
	counted := fmt.Sprintf("%d that have succeeded", succeeded)
	if failed > 0 {
		counted += fmt.Sprintf(" and the %d that have failed for good", failed)
	}
	return field.ErrorList{field.Forbidden(completionsPath,
		fmt.Sprintf("may not be satisfied by the %s while the Job is suspended: resume the Job first, or set 0", counted))}
}
