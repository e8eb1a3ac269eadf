// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package authentication

import (
	"fmt"

	"k8s.io/apiserver/pkg/authentication/authenticatorfactory"
	"k8s.io/apiserver/pkg/authentication/request/anonymous"
	"k8s.io/apiserver/pkg/authentication/request/union"
	genericapiserver "k8s.io/apiserver/pkg/server"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/kube-openapi/pkg/spec3"

	"github.com/batchgate/batchgate/pkg/apiserver/metrics"
)

// ApplyDelegating configures delegated authentication. It replaces
// DelegatingAuthenticationOptions.ApplyTo, which reads the cluster's authentication
// configuration once and fails if kube-apiserver does not respond. ApplyDelegating watches that
// configuration instead, so that the server can start before kube-apiserver. The server fails
// closed: until the configuration arrives, it trusts neither the front proxy nor any client
// certificate. Requests to alwaysAllowPaths do not wait for the configuration.
func ApplyDelegating(generic *genericapiserver.Config, o *genericoptions.DelegatingAuthenticationOptions, alwaysAllowPaths []string) error {
	client, err := newClient(o.RemoteKubeConfigFile)
	if err != nil {
		return fmt.Errorf("creating a client for delegated authentication: %w", err)
	}
	config := authenticatorfactory.DelegatingAuthenticatorConfig{
		TokenAccessReviewClient:  client.AuthenticationV1(),
		TokenAccessReviewTimeout: o.TokenRequestTimeout,
		WebhookRetryBackoff:      o.WebhookRetryBackoff,
		CacheTTL:                 o.CacheTTL,
	}
	if config.ClientCertificateCAContentProvider, err = clientCA(o, client); err != nil {
		return err
	}
	header, err := requestHeaderConfig(o, client)
	if err != nil {
		return err
	}
	info := &generic.Authentication
	info.RequestHeaderConfig = header
	if provider := config.ClientCertificateCAContentProvider; provider != nil {
		if err := info.ApplyClientCert(provider, generic.SecureServing); err != nil {
			return err
		}
		metrics.RecordCABundle("client-ca", provider.CurrentCABundleContent)
	}
	if header != nil {
		if err := info.ApplyClientCert(header.CAContentProvider, generic.SecureServing); err != nil {
			return err
		}
		metrics.RecordCABundle("front-proxy-ca", header.CAContentProvider.CurrentCABundleContent)
		waitForFrontProxyConfig(generic, header, alwaysAllowPaths)
	}
	authenticator, security, err := config.New()
	if err != nil {
		return err
	}
	generic.OpenAPIConfig.SecurityDefinitions, generic.OpenAPIV3Config.SecuritySchemes = security, bearerToken
	if header != nil {
		authenticator = union.New(newFrontProxyAuthenticator(header), authenticator)
	}
	// A request without credentials is anonymous. A request whose credentials cannot be verified
	// must fail instead.
	info.Authenticator = union.NewFailOnError(authenticator, anonymous.NewAuthenticator(nil))
	return nil
}

// bearerToken is the OpenAPI v3 form of the security definitions that the authenticator factory
// returns for OpenAPI v2. Without it, operations in OpenAPI v3 would not document response 401.
var bearerToken = spec3.SecuritySchemes{
	"BearerToken": &spec3.SecurityScheme{
		SecuritySchemeProps: spec3.SecuritySchemeProps{
			Type:        "apiKey",
			Name:        "authorization",
			In:          "header",
			Description: "Bearer Token authentication",
		},
	},
}

// newClient returns a client for TokenReviews and for the authentication ConfigMap.
func newClient(kubeconfig string) (kubernetes.Interface, error) {
	config, err := ClientConfig(kubeconfig)
	if err != nil {
		return nil, err
	}
	// Each request with a token that is not in the cache waits for this client.
	config.QPS, config.Burst = 200, 400
	return kubernetes.NewForConfig(config)
}

// ClientConfig reads a kubeconfig. If its name is empty, it returns the in-cluster configuration.
func ClientConfig(kubeconfig string) (*rest.Config, error) {
	if kubeconfig == "" {
		return rest.InClusterConfig()
	}
	return clientcmd.BuildConfigFromFlags("", kubeconfig)
}
