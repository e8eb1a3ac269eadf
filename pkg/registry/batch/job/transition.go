package job

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
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
	selectorChanged := !apiequality.Semantic.DeepEqual(new.Spec.Selector, old.Spec.Selector)
	completionsChanged := !ptr.Equal(new.Spec.Completions, old.Spec.Completions)
	if selectorChanged {
		errs = append(errs, validateOutcomeOpen(old, selectorPath)...)
		errs = append(errs, validateSelector(ctx, new)...)
	}
	if completionsChanged {
		errs = append(errs, validateOutcomeOpen(old, completionsPath)...)
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
func validateSelector(ctx context.Context, new *batch.Job) field.ErrorList {
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
	if len(errs) > 0 || new.Spec.Selector == nil || ptr.Deref(new.Spec.ManualSelector, false) {
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

// validateIndexesKept refuses to leave an index that has succeeded outside completions,
// unless completions equals parallelism. The Job controller would count it no more, and
// the validation of the status lets that count fall in that case only: every later update
// of the status would fail, and the Job never finish.
func validateIndexesKept(new *batch.Job) field.ErrorList {
	indexed := ptr.Deref(new.Spec.CompletionMode, batch.NonIndexedCompletion) == batch.IndexedCompletion
	if !indexed || new.Spec.Completions == nil || ptr.Equal(new.Spec.Completions, new.Spec.Parallelism) {
		return nil
	}
	last, any := lastIndex(new.Status.CompletedIndexes)
	if !any || last < int(*new.Spec.Completions) {
		return nil
	}
	return field.ErrorList{field.Forbidden(completionsPath, fmt.Sprintf(
		"may not be lower than %d, since index %d has succeeded; to drop succeeded indexes, set parallelism to the same number in the same update", last+1, last))}
}

// lastIndex returns the highest index of a status' completedIndexes ("0,2-4,7"), and
// whether there is one. The list is sorted, and written by the Job controller.
func lastIndex(indexes string) (int, bool) {
	if indexes == "" {
		return 0, false
	}
	last := indexes[strings.LastIndexAny(indexes, ",-")+1:]
	n, err := strconv.Atoi(last)
	return n, err == nil
}
