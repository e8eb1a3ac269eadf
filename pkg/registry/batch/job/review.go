// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package job

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/apiserver/pkg/warning"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/batch"
	batchconversion "k8s.io/kubernetes/pkg/apis/batch/v1"

	"github.com/batchgate/batchgate/pkg/fieldpolicy"
	"github.com/batchgate/batchgate/pkg/fieldpolicy/fieldpath"
	"github.com/batchgate/batchgate/pkg/registry/bounded"
)

const (
	// maxVariants is the maximum number of updates that a review tries for one field.
	maxVariants = 64
	// maxTriedBytes bounds the total size of the updates that a review tries, because each takes as long as
	// an update of the Job.
	maxTriedBytes = 1 << 20
	// minTries is the number of updates that a review may try whatever their size is.
	minTries = 8

	maxUpdatable = 1000 // fields in Review.Updatable
	maxParts     = 50   // granted parts of a denied field in its reason
)

const (
	// uncheckedReason is the reason if there were too many fields for the size of the Job.
	uncheckedReason = "the rules of Kubernetes were not checked, because the Job is large: ask for fewer fields"
	// partlyCheckedReason precedes the rule that all tried updates break, if the Job was too large to try more.
	partlyCheckedReason = "only some fields below it were checked, because the Job is large, and none of these may change: "
)

// ignoredReason is the reason if no update changed the stored Job.
const ignoredReason = "the server ignores changes of it, for example because of a feature gate"

// FieldDecision is what happens to an update that changes the fields that a pattern matches.
type FieldDecision struct {
	Outcome fieldpolicy.Outcome
	// Policies are the names of the policies that grant the field, sorted.
	Policies []string
	// Reason says why the outcome is Deny, or why it is not certain.
	Reason string
}

// Review is the answer to which fields of a Job a user may change.
type Review struct {
	// Updatable are the first fields that policies grant, and MoreUpdatable is the number of the others.
	Updatable     []fieldpolicy.UpdatableField
	MoreUpdatable int
	// Fields has a decision for each reviewed field.
	Fields []FieldDecision
}

// Review returns which fields of a Job the user in ctx may change. The Job needs only a namespace and
// labels if it does not exist yet, which exists says. For a Job that exists, Review also tries updates
// of the fields, and reports the rules of validation that forbid them whatever the value is.
func (g *Gate) Review(ctx context.Context, job *batch.Job, exists bool, fields []fieldpath.Pattern) (*Review, error) {
	grants := g.Policies.Get().GrantsTo(userFrom(ctx), job.Labels, func() labels.Set {
		if !exists {
			return g.CachedNamespaceLabels(job.Namespace)
		}
		return g.NamespaceLabels(ctx, job.Namespace)
	})
	review := &Review{Fields: make([]FieldDecision, len(fields))}
	review.Updatable, review.MoreUpdatable = grants.Fields(maxUpdatable)
	job = job.DeepCopy() // the rules of upstream may change it
	stored := &batchv1.Job{}
	if err := batchconversion.Convert_batch_Job_To_v1_Job(job, stored, nil); err != nil {
		return nil, fmt.Errorf("converting the Job to review it: %w", err)
	}
	tries := min(maxVariants*len(fields), max(minTries, maxTriedBytes/max(1, stored.Size())))
	for i, pattern := range fields {
		decision := &review.Fields[i]
		*decision = decisionOf(pattern, grants)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if !exists || decision.Outcome == fieldpolicy.Deny {
			continue
		}
		if tries == 0 {
			decision.Reason = uncheckedReason
			continue
		}
		limit := min(maxVariants, tries)
		variants, total := pattern.Variants(stored, limit)
		needed := min(total, maxVariants)
		if limit < min(needed, minTries) {
			decision.Reason = uncheckedReason
			continue
		}
		tried, reason, err := g.tryUpdates(ctx, job, variants)
		if err != nil {
			return nil, err
		}
		tries -= tried
		switch {
		case reason == "":
		case limit < needed:
			decision.Reason = partlyCheckedReason + reason
		default:
			decision.Outcome, decision.Reason = fieldpolicy.Deny, reason
		}
	}
	return review, nil
}

// decisionOf returns the decision of the policies.
func decisionOf(pattern fieldpath.Pattern, grants *fieldpolicy.Grants) FieldDecision {
	switch change := grants.Evaluate(pattern); {
	case change.Warn:
		return FieldDecision{Outcome: fieldpolicy.Warn, Policies: change.Policies}
	case len(change.Policies) > 0:
		return FieldDecision{Outcome: fieldpolicy.Allow, Policies: change.Policies}
	}
	decision := FieldDecision{Outcome: fieldpolicy.Deny, Reason: "no JobUpdatePolicy grants it"}
	if parts, more := grants.Below(pattern, maxParts); len(parts) > 0 {
		decision.Reason = "JobUpdatePolicies only grant parts of it: " + strings.Join(parts, ", ")
		if more {
			decision.Reason += ", and more"
		}
	}
	return decision
}

// tryUpdates returns the reason why no update to one of the variants is possible, or "" if there is none, and
// the number of updates that it has tried. Errors about a value are no reason, since another value may be
// valid.
func (g *Gate) tryUpdates(ctx context.Context, job *batch.Job, variants iter.Seq[*batchv1.Job]) (tried int, reason string, err error) {
	ctx = warning.WithWarningRecorder(WithUpdateRequest(ctx, job.Namespace, job.Name), discardWarnings{})
	for variant := range variants {
		tried++
		if err := ctx.Err(); err != nil {
			return tried, "", err
		}
		legacyscheme.Scheme.Default(variant) // as for an update that a client sends
		updated := &batch.Job{}
		if err := batchconversion.Convert_v1_Job_To_batch_Job(variant, updated, nil); err != nil {
			return tried, "", fmt.Errorf("converting a changed Job to review it: %w", err)
		}
		strategy := NewStrategy(g)
		err := rest.BeforeUpdate(strategy, ctx, updated, job)
		switch {
		case strategy.err != nil:
			return tried, "", strategy.err
		case err == nil && apiequality.Semantic.DeepEqual(updated, job):
			if reason == "" {
				reason = ignoredReason
			}
			continue
		}
		if reason = ruleOf(strategy.decision, err); reason == "" {
			return tried, "", nil
		}
	}
	return tried, reason, nil
}

// WithUpdateRequest returns a context in which the request is an update of a Job. It must not be used to
// authorize anything.
func WithUpdateRequest(ctx context.Context, namespace, name string) context.Context {
	return genericapirequest.WithRequestInfo(ctx, &genericapirequest.RequestInfo{
		IsResourceRequest: true, Verb: "update", APIGroup: batch.GroupName, APIVersion: batchv1.SchemeGroupVersion.Version,
		Resource: "jobs", Namespace: namespace, Name: name,
	})
}

// ruleOf returns the rule that an update violates whatever its values are, or "".
func ruleOf(d *fieldpolicy.Decision, err error) string {
	if d.Outcome == fieldpolicy.Deny {
		if denied := d.DeniedPaths(); len(denied) > 0 {
			return fmt.Sprintf("it is missing in the Job, and no JobUpdatePolicy grants adding %s", bounded.Text(denied[0].String()))
		}
		return "the update changes too many fields"
	}
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Details == nil {
		return ""
	}
	for _, cause := range status.Status().Details.Causes {
		if cause.Type == metav1.CauseTypeForbidden {
			return bounded.Text(cause.Field + ": " + strings.TrimPrefix(cause.Message, "Forbidden: "))
		}
		for _, message := range immutableMessages {
			if strings.Contains(cause.Message, message) {
				return bounded.Text(cause.Field + ": " + message) // without the value, which may be a Pod template
			}
		}
	}
	return ""
}

// immutableMessages are the messages of upstream's rules that do not depend on the value. Their type is
// Invalid.
var immutableMessages = []string{
	apivalidation.FieldImmutableErrorMsg,
	"field cannot be set once created",
	"field cannot be cleared once set",
	"field cannot be modified once set",
}

type discardWarnings struct{}

var _ warning.Recorder = discardWarnings{}

// AddWarning implements warning.Recorder.
func (discardWarnings) AddWarning(string, string) {}
