// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package authorization

import (
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/authorization/path"
	"k8s.io/apiserver/pkg/authorization/union"
)

// NewStandalone returns the authorizer of a server without a cluster. It allows everything to
// the group system:masters, and alwaysAllowPaths to everybody.
func NewStandalone(alwaysAllowPaths []string) (authorizer.Authorizer, error) {
	paths, err := path.NewAuthorizer(alwaysAllowPaths)
	if err != nil {
		return nil, err
	}
	return union.New(
		union.NamedAuthorizer{AuthorizerName: "masters", Authorizer: authorizerfactory.NewPrivilegedGroups(user.SystemPrivilegedGroup)},
		union.NamedAuthorizer{AuthorizerName: "health", Authorizer: paths},
	)
}
