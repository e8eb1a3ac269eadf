package options

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/authentication/authenticatorfactory"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/authorization/path"
	"k8s.io/apiserver/pkg/authorization/union"

	batchgate "github.com/batchgate/batchgate/pkg/apiserver"
)

// StandaloneConfig returns the configuration of a server without a cluster: whoever holds a
// certificate of the group system:masters from the client CA may do everything, everybody
// else may ask for its health. There is no admission: all of it needs a cluster.
func (o *Options) StandaloneConfig() (*batchgate.Config, error) {
	config, err := o.genericConfig()
	if err != nil {
		return nil, err
	}
	// There are no namespaces; the label by which each can be selected has its name.
	config.NamespaceLabels = func(_ context.Context, name string) labels.Set { return labels.Set{corev1.LabelMetadataName: name} }
	generic := config.Generic
	clientCA, err := o.Authentication.ClientCert.GetClientCAContentProvider()
	if err != nil {
		return nil, fmt.Errorf("reading the client CA: %w", err)
	}
	if err := generic.Authentication.ApplyClientCert(clientCA, generic.SecureServing); err != nil {
		return nil, err
	}
	generic.Authentication.Authenticator, generic.OpenAPIConfig.SecurityDefinitions, err = authenticatorfactory.DelegatingAuthenticatorConfig{
		Anonymous:                          &apiserver.AnonymousAuthConfig{Enabled: true},
		ClientCertificateCAContentProvider: clientCA,
	}.New()
	if err != nil {
		return nil, err
	}
	health, err := path.NewAuthorizer(o.Authorization.AlwaysAllowPaths)
	if err != nil {
		return nil, err
	}
	generic.Authorization.Authorizer, err = union.New(
		union.NamedAuthorizer{AuthorizerName: "masters", Authorizer: authorizerfactory.NewPrivilegedGroups(user.SystemPrivilegedGroup)},
		union.NamedAuthorizer{AuthorizerName: "health", Authorizer: health},
	)
	if err != nil {
		return nil, err
	}
	// Priority and fairness is configured by objects of a cluster; this leaves the
	// limits of --max-requests-inflight.
	o.Features.EnablePriorityAndFairness = false
	return config, o.Features.ApplyTo(&generic.Config, nil, nil)
}
