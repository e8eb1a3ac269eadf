// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package authorization

import (
	"context"

	"k8s.io/apiserver/pkg/authorization/authorizer"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"

	"github.com/batchgate/batchgate/pkg/apiserver/authentication"
)

// proxiedRequestAuthorizer allows proxied requests, because kube-apiserver has authorized them.
// This loses no security: the holder of the front proxy's key can name any user, including a
// member of system:masters, for whom the delegate allows everything.
//
// It delegates all other decisions. Examples are a request in which the user impersonates another
// user, and an additional check during a request, such as the create check of an apply request
// whose object does not exist.
type proxiedRequestAuthorizer struct{ authorizer.Authorizer }

var _ authorizer.Authorizer = proxiedRequestAuthorizer{}

// Authorize implements authorizer.UnconditionalAuthorizer.
func (d proxiedRequestAuthorizer) Authorize(ctx context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	if _, ok := a.GetUser().(authentication.ProxiedUser); ok && matchesRequest(ctx, a) {
		return authorizer.DecisionAllow, "authorized by kube-apiserver before it proxied the request", nil
	}
	return d.Authorizer.Authorize(ctx, a)
}

// ConditionsAwareAuthorize implements authorizer.Authorizer. It returns no conditions. The embedded
// method would authorize a proxied request again.
func (d proxiedRequestAuthorizer) ConditionsAwareAuthorize(ctx context.Context, a authorizer.Attributes) authorizer.ConditionsAwareDecision {
	return authorizer.ConditionsAwareDecisionFromParts(d.Authorize(ctx, a))
}

// EvaluateConditions implements authorizer.Authorizer. It denies, since ConditionsAwareAuthorize
// returns no conditions.
func (d proxiedRequestAuthorizer) EvaluateConditions(context.Context, authorizer.ConditionsAwareDecision, authorizer.ConditionsData) (authorizer.Decision, string, error) {
	return authorizer.DecisionDeny, "", authorizer.ErrorConditionEvaluationNotSupported
}

// matchesRequest reports whether a is the action that kube-apiserver authorized: the resource
// request in ctx itself.
func matchesRequest(ctx context.Context, a authorizer.Attributes) bool {
	info, ok := genericapirequest.RequestInfoFrom(ctx)
	return ok && info.IsResourceRequest && a.IsResourceRequest() &&
		a.GetVerb() == info.Verb &&
		a.GetAPIGroup() == info.APIGroup && a.GetAPIVersion() == info.APIVersion &&
		a.GetResource() == info.Resource && a.GetSubresource() == info.Subresource &&
		a.GetNamespace() == info.Namespace && a.GetName() == info.Name
}
