// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package authentication

import (
	"net/http"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/authenticatorfactory"
	"k8s.io/apiserver/pkg/authentication/group"
	"k8s.io/apiserver/pkg/authentication/request/headerrequest"
	"k8s.io/apiserver/pkg/authentication/user"
)

// ProxiedUser marks a user that the front proxy named in its request headers. It marks the user and
// not the request: if the user impersonates someone in this server, the impersonated user is not
// marked.
type ProxiedUser struct{ user.Info }

var _ user.Info = ProxiedUser{}

// newFrontProxyAuthenticator returns the authenticator that the authenticator factory builds for
// the front proxy, except that its users are ProxiedUsers, and that it remembers verified certificates.
func newFrontProxyAuthenticator(header *authenticatorfactory.RequestHeaderConfig) authenticator.Request {
	names := headerrequest.NewDynamic(header.UsernameHeaders, header.UIDHeaders, header.GroupHeaders, header.ExtraHeaderPrefixes)
	delegate := group.NewAuthenticatedGroupAdder(newFrontProxyVerifier(header.CAContentProvider.VerifyOptions, header.AllowedClientNames, names))
	return authenticator.RequestFunc(func(r *http.Request) (*authenticator.Response, bool, error) {
		response, ok, err := delegate.AuthenticateRequest(r)
		if err != nil || !ok {
			return nil, ok, err
		}
		proxied := *response
		proxied.User = ProxiedUser{response.User}
		return &proxied, true, nil
	})
}
