// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package jobupdatereview

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/kubernetes/pkg/apis/batch"
	_ "k8s.io/kubernetes/pkg/apis/batch/install" // conversion of Jobs
	_ "k8s.io/kubernetes/pkg/apis/core/install"  // and of their Pod templates

	"github.com/batchgate/batchgate/pkg/apis/policy"
	_ "github.com/batchgate/batchgate/pkg/apis/policy/install"
	"github.com/batchgate/batchgate/pkg/controller/jobupdatepolicy/bootstrappolicy"
	"github.com/batchgate/batchgate/pkg/fieldpolicy"
	"github.com/batchgate/batchgate/pkg/registry/batch/job"
)

// store is a getter of one Job, and an authorizer that records what it is asked.
type store struct {
	decision authorizer.Decision
	err      error
	asked    authorizer.Attributes
	request  *genericapirequest.RequestInfo
}

func (s *store) Get(_ context.Context, name string, _ *metav1.GetOptions) (runtime.Object, error) {
	return &batch.Job{ObjectMeta: metav1.ObjectMeta{Namespace: "studio", Name: name}}, nil
}

func (s *store) Authorize(ctx context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	s.asked = a
	s.request, _ = genericapirequest.RequestInfoFrom(ctx)
	return s.decision, "", s.err
}

func (s *store) ConditionsAwareAuthorize(context.Context, authorizer.Attributes) authorizer.ConditionsAwareDecision {
	panic("not used")
}

func (s *store) EvaluateConditions(context.Context, authorizer.ConditionsAwareDecision, authorizer.ConditionsData) (authorizer.Decision, string, error) {
	panic("not used")
}

func newStorage(s *store) (*SelfREST, *REST) {
	snapshot, _ := fieldpolicy.Compile(bootstrappolicy.Policies())
	policies := &fieldpolicy.SnapshotStore{}
	policies.Set(snapshot)
	gate := &job.Gate{
		Policies:              policies,
		NamespaceLabels:       func(context.Context, string) labels.Set { return nil },
		CachedNamespaceLabels: func(string) labels.Set { return nil },
	}
	return NewREST(&Reviewer{Gate: gate, Jobs: s, Authorizer: s})
}

func requestContext(t *testing.T) context.Context {
	ctx := genericapirequest.WithNamespace(t.Context(), "studio")
	ctx = genericapirequest.WithRequestInfo(ctx, &genericapirequest.RequestInfo{Verb: "create", Resource: "selfjobupdatereviews"})
	return genericapirequest.WithUser(ctx, &user.DefaultInfo{Name: "alice"})
}

// The author of a review must be allowed to get the Job. The authorizer sees the request as it is, because it
// allows what kube-apiserver has authorized.
func TestREST_Create_Authorizes(t *testing.T) {
	for name, tc := range map[string]struct {
		decision authorizer.Decision
		err      error
		want     func(error) bool
	}{
		"allowed":    {authorizer.DecisionAllow, nil, func(err error) bool { return err == nil }},
		"denied":     {authorizer.DecisionDeny, nil, apierrors.IsForbidden},
		"no opinion": {authorizer.DecisionNoOpinion, nil, apierrors.IsForbidden},
		"error":      {authorizer.DecisionNoOpinion, errors.New("timeout"), apierrors.IsInternalError},
	} {
		t.Run(name, func(t *testing.T) {
			s := &store{decision: tc.decision, err: tc.err}
			self, other := newStorage(s)
			_, err := self.Create(requestContext(t), &policy.SelfJobUpdateReview{Spec: policy.SelfJobUpdateReviewSpec{Job: policy.ReviewedJob{Name: "pi"}}}, nil, nil)
			if !tc.want(err) {
				t.Errorf("a review of the user got %v", err)
			}
			_, err = other.Create(requestContext(t), &policy.JobUpdateReview{Spec: policy.JobUpdateReviewSpec{User: "bob", Job: policy.ReviewedJob{Name: "pi"}}}, nil, nil)
			if !tc.want(err) {
				t.Errorf("a review of another user got %v", err)
			}
			if s.asked.GetUser().GetName() != "alice" || s.asked.GetVerb() != "get" || s.asked.GetName() != "pi" || s.asked.GetNamespace() != "studio" || s.asked.GetResource() != "jobs" {
				t.Errorf("the authorizer was asked %+v", s.asked)
			}
			if s.request.Resource != "selfjobupdatereviews" {
				t.Errorf("the authorizer saw the request %+v", s.request)
			}
		})
	}
}

func TestREST_Create_Admission(t *testing.T) {
	self, _ := newStorage(&store{})
	rejecting := func(context.Context, runtime.Object) error { return apierrors.NewBadRequest("by a webhook") }
	if _, err := self.Create(requestContext(t), &policy.SelfJobUpdateReview{}, rejecting, nil); err == nil || !strings.Contains(err.Error(), "by a webhook") {
		t.Errorf("got %v", err)
	}
}

func TestTableConvertor_Rows(t *testing.T) {
	updatable := []policy.UpdatableField{{Field: "spec.suspend", Action: policy.Warn, Policies: []string{"a", "b"}}}
	fields := []policy.FieldReview{{Field: "spec.template", Decision: policy.ReviewDeny, Reason: "no"}}
	for name, tc := range map[string]struct {
		obj  runtime.Object
		want []any
	}{
		"updatable fields": {&policy.SelfJobUpdateReview{Status: policy.JobUpdateReviewStatus{UpdatableFields: updatable}}, []any{"spec.suspend", "Warn", "a,b", ""}},
		"checked fields":   {&policy.JobUpdateReview{Status: policy.JobUpdateReviewStatus{UpdatableFields: updatable, Fields: fields}}, []any{"spec.template", "Deny", "", "no"}},
	} {
		t.Run(name, func(t *testing.T) {
			table, err := TableConvertor{}.ConvertToTable(t.Context(), tc.obj, nil)
			if err != nil {
				t.Fatal(err)
			}
			// A client may ask for the object of each row.
			if row, err := json.Marshal(table.Rows[0].Object.Object); err != nil || strings.Contains(string(row), "spec.suspend") {
				t.Errorf("the row has the object %s, error %v", row, err)
			}
			if diff := cmp.Diff([][]any{tc.want}, [][]any{table.Rows[0].Cells}); diff != "" || len(table.Rows) != 1 || len(table.ColumnDefinitions) != len(tc.want) {
				t.Errorf("%d rows, %d columns, cells (-want +got):\n%s", len(table.Rows), len(table.ColumnDefinitions), diff)
			}
		})
	}
	if _, err := (TableConvertor{}).ConvertToTable(t.Context(), &batchv1.Job{}, nil); err == nil {
		t.Error("a Job has a table of a review")
	}
}
