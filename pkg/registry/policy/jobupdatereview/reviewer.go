// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package jobupdatereview

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
	"k8s.io/kubernetes/pkg/apis/batch"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/fieldpolicy"
	"github.com/batchgate/batchgate/pkg/fieldpolicy/fieldpath"
	"github.com/batchgate/batchgate/pkg/registry/batch/job"
)

// Limits of an answer.
const (
	maxUpdatablePolicies = 10 // of each updatable field
	maxPolicies          = 50 // of each field to check
)

// Reviewer answers reviews. All fields are required.
type Reviewer struct {
	Gate *job.Gate
	// Jobs gets stored Jobs.
	Jobs rest.Getter
	// Authorizer decides whether a user may get the reviewed Job.
	Authorizer authorizer.Authorizer
}

// review answers which fields of a Job a user may change. The user in ctx is the one who asks.
func (r *Reviewer) review(ctx context.Context, reviewed user.Info, spec *policy.ReviewedJob, fields []string) (*policy.JobUpdateReviewStatus, error) {
	if err := r.Gate.CheckReady(); err != nil {
		return nil, err
	}
	j, err := r.job(ctx, spec)
	if err != nil {
		return nil, err
	}
	patterns := make([]fieldpath.Pattern, len(fields))
	for i, text := range fields {
		if patterns[i], err = fieldpath.ParsePattern(text); err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
	}
	answer, err := r.Gate.Review(genericapirequest.WithUser(ctx, reviewed), j, spec.Name != "", patterns)
	if err != nil {
		return nil, err
	}
	return statusOf(answer, fields), nil
}

// job returns the stored Job with the name, or a new one with the labels.
func (r *Reviewer) job(ctx context.Context, spec *policy.ReviewedJob) (*batch.Job, error) {
	namespace := genericapirequest.NamespaceValue(ctx)
	if spec.Name == "" {
		return &batch.Job{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Labels: spec.Labels}}, nil
	}
	// The authorizer allows a proxied request to do what kube-apiserver has authorized. It compares the
	// attributes with the request in ctx, which is the creation of the review.
	asking, _ := genericapirequest.UserFrom(ctx)
	attributes := authorizer.AttributesRecord{
		User: asking, Verb: "get", ResourceRequest: true, Namespace: namespace, Name: spec.Name,
		APIGroup: batch.GroupName, APIVersion: batchv1.SchemeGroupVersion.Version, Resource: "jobs",
	}
	if decision, reason, err := r.Authorizer.Authorize(ctx, attributes); decision != authorizer.DecisionAllow {
		if err != nil {
			return nil, apierrors.NewInternalError(fmt.Errorf("checking whether the user may get the Job: %w", err))
		}
		return nil, responsewriters.ForbiddenStatusError(attributes, reason)
	}
	// The store names the resource of the request in its errors.
	obj, err := r.Jobs.Get(job.WithUpdateRequest(ctx, namespace, spec.Name), spec.Name, &metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return obj.(*batch.Job), nil
}

func statusOf(answer *job.Review, fields []string) *policy.JobUpdateReviewStatus {
	status := &policy.JobUpdateReviewStatus{}
	for _, f := range answer.Updatable {
		action := policy.Allow
		if f.Warn {
			action = policy.Warn
		}
		status.UpdatableFields = append(status.UpdatableFields, policy.UpdatableField{Field: f.Pattern, Action: action, Policies: first(f.Policies, maxUpdatablePolicies)})
	}
	status.MoreUpdatableFields = int32(answer.MoreUpdatable)
	for i, d := range answer.Fields {
		status.Fields = append(status.Fields, policy.FieldReview{
			Field: fields[i], Decision: decisions[d.Outcome], Policies: first(d.Policies, maxPolicies), Reason: d.Reason,
		})
	}
	return status
}

var decisions = map[fieldpolicy.Outcome]policy.ReviewDecision{
	fieldpolicy.Allow: policy.ReviewAllow,
	fieldpolicy.Warn:  policy.ReviewWarn,
	fieldpolicy.Deny:  policy.ReviewDeny,
}

func first(names []string, n int) []string { return names[:min(len(names), n)] }
