// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package authorization

import (
	"fmt"

	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/authorization/path"
	"k8s.io/apiserver/pkg/authorization/union"
	genericapiserver "k8s.io/apiserver/pkg/server"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/client-go/kubernetes"

	"github.com/batchgate/batchgate/pkg/apiserver/authentication"
)

// reviewQPS limits the SubjectAccessReviews per second. kube-apiserver counts them as requests of this
// server, although other users cause them, so there must be a limit.
const reviewQPS = 1000

// ApplyDelegating configures delegated authorization. Unless authorizeFrontProxy is set, it
// allows proxied requests without a SubjectAccessReview.
//
// It replaces DelegatingAuthorizationOptions.ApplyTo, whose client sends at most 200
// SubjectAccessReviews per second, so that requests of direct users wait in the client.
func ApplyDelegating(info *genericapiserver.AuthorizationInfo, o *genericoptions.DelegatingAuthorizationOptions, authorizeFrontProxy bool) error {
	client, err := newClient(o)
	if err != nil {
		return fmt.Errorf("creating a client for delegated authorization: %w", err)
	}
	delegating, err := authorizerfactory.DelegatingAuthorizerConfig{
		SubjectAccessReviewClient: client.AuthorizationV1(),
		AllowCacheTTL:             o.AllowCacheTTL,
		DenyCacheTTL:              o.DenyCacheTTL,
		WebhookRetryBackoff:       o.WebhookRetryBackoff,
	}.New()
	if err != nil {
		return err
	}
	allowedPaths, err := path.NewAuthorizer(o.AlwaysAllowPaths)
	if err != nil {
		return err
	}
	info.Authorizer, err = union.New(
		union.NamedAuthorizer{AuthorizerName: "kubernetes.io/always-allow-groups", Authorizer: authorizerfactory.NewPrivilegedGroups(o.AlwaysAllowGroups...)},
		union.NamedAuthorizer{AuthorizerName: "kubernetes.io/always-allow-paths", Authorizer: allowedPaths},
		union.NamedAuthorizer{AuthorizerName: "kubernetes.io/webhook", Authorizer: delegating},
	)
	if err == nil && !authorizeFrontProxy {
		info.Authorizer = proxiedRequestAuthorizer{info.Authorizer}
	}
	return err
}

func newClient(o *genericoptions.DelegatingAuthorizationOptions) (kubernetes.Interface, error) {
	config, err := authentication.ClientConfig(o.RemoteKubeConfigFile)
	if err != nil {
		return nil, err
	}
	config.QPS, config.Burst = reviewQPS, 2*reviewQPS
	config.Timeout = o.ClientTimeout
	return kubernetes.NewForConfig(config)
}
