package options

import (
	"context"
	"net/http"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/authenticatorfactory"
	"k8s.io/apiserver/pkg/authentication/group"
	"k8s.io/apiserver/pkg/authentication/request/headerrequest"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
)

// passedOn is a user whom the front proxy has named. The mark is part of the user, not of the
// request, so that a user who is impersonated in this server does not have it.
type passedOn struct{ user.Info }

// frontProxy authenticates what the front proxy passes on, as the authenticator factory does,
// and marks its users.
func frontProxy(header *authenticatorfactory.RequestHeaderConfig) authenticator.Request {
	headers := group.NewAuthenticatedGroupAdder(headerrequest.NewDynamicVerifyOptionsSecure(
		header.CAContentProvider.VerifyOptions, header.AllowedClientNames,
		header.UsernameHeaders, header.UIDHeaders, header.GroupHeaders, header.ExtraHeaderPrefixes))
	return authenticator.RequestFunc(func(r *http.Request) (*authenticator.Response, bool, error) {
		response, ok, err := headers.AuthenticateRequest(r)
		if err != nil || !ok {
			return nil, ok, err
		}
		marked := *response
		marked.User = passedOn{response.User}
		return &marked, true, nil
	})
}

// once does not ask for the authorization of a request to a resource that the front proxy has
// passed on: kube-apiserver has authorized it before. Nothing is lost by believing that.
// Whoever holds the front proxy's key can name any user, one of system:masters too, whom
// every question would be answered with yes.
//
// All else is asked for: another user than the one whom the front proxy named (impersonation), and
// another action than the request's (the creation of what an update does not find).
type once struct{ authorizer.Authorizer }

// Authorize implements authorizer.UnconditionalAuthorizer.
func (o once) Authorize(ctx context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	if _, ok := a.GetUser().(passedOn); ok && isOfRequest(ctx, a) {
		return authorizer.DecisionAllow, "authorized by kube-apiserver, which has passed the request on", nil
	}
	return o.Authorizer.Authorize(ctx, a)
}

// isOfRequest reports whether a is what kube-apiserver was asked for: the action of the request
// itself, on a resource.
func isOfRequest(ctx context.Context, a authorizer.Attributes) bool {
	info, ok := genericapirequest.RequestInfoFrom(ctx)
	return ok && info.IsResourceRequest && a.IsResourceRequest() &&
		a.GetVerb() == info.Verb &&
		a.GetAPIGroup() == info.APIGroup && a.GetAPIVersion() == info.APIVersion &&
		a.GetResource() == info.Resource && a.GetSubresource() == info.Subresource &&
		a.GetNamespace() == info.Namespace && a.GetName() == info.Name
}
