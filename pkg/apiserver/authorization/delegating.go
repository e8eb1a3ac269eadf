// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package authorization

import (
	genericapiserver "k8s.io/apiserver/pkg/server"
	genericoptions "k8s.io/apiserver/pkg/server/options"
)

// ApplyDelegating configures delegated authorization. Unless authorizeFrontProxy is set, it
// allows proxied requests without a SubjectAccessReview.
func ApplyDelegating(info *genericapiserver.AuthorizationInfo, o *genericoptions.DelegatingAuthorizationOptions, authorizeFrontProxy bool) error {
	if err := o.ApplyTo(info); err != nil {
		return err
	}
	if !authorizeFrontProxy {
		info.Authorizer = proxiedRequestAuthorizer{info.Authorizer}
	}
	return nil
}
