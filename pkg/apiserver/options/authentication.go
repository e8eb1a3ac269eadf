package options

import (
	"fmt"

	"k8s.io/apiserver/pkg/authentication/authenticatorfactory"
	"k8s.io/apiserver/pkg/authentication/request/anonymous"
	"k8s.io/apiserver/pkg/authentication/request/headerrequest"
	"k8s.io/apiserver/pkg/authentication/request/union"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/kube-openapi/pkg/spec3"
)

// kube-apiserver publishes here the CAs and header names that an aggregated server needs
// to believe it.
const (
	authenticationNamespace = "kube-system"
	authenticationConfigMap = "extension-apiserver-authentication"
)

// applyAuthentication delegates authentication as DelegatingAuthenticationOptions.ApplyTo
// does, with one difference: that one reads the cluster's authentication configuration once
// and gives up, for good, if kube-apiserver does not answer. Here it is watched from the
// start. Until it has arrived the front proxy and client certificates are believed by
// nobody, so that this server may start before kube-apiserver is up, and fails closed.
func (o *Options) applyAuthentication(generic *genericapiserver.Config) error {
	auth := o.Authentication
	client, err := authenticationClient(auth.RemoteKubeConfigFile)
	if err != nil {
		return fmt.Errorf("delegating authentication: %w", err)
	}
	config := authenticatorfactory.DelegatingAuthenticatorConfig{
		TokenAccessReviewClient:  client.AuthenticationV1(),
		TokenAccessReviewTimeout: auth.TokenRequestTimeout,
		WebhookRetryBackoff:      auth.WebhookRetryBackoff,
		CacheTTL:                 auth.CacheTTL,
	}
	if config.ClientCertificateCAContentProvider, err = o.clientCA(client); err != nil {
		return err
	}
	header, err := o.requestHeader(client)
	if err != nil {
		return err
	}
	info := &generic.Authentication
	info.RequestHeaderConfig = header
	if provider := config.ClientCertificateCAContentProvider; provider != nil {
		if err := info.ApplyClientCert(provider, generic.SecureServing); err != nil {
			return err
		}
	}
	if header != nil {
		if err := info.ApplyClientCert(header.CAContentProvider, generic.SecureServing); err != nil {
			return err
		}
		o.awaitFrontProxy(generic, header)
	}
	direct, security, err := config.New()
	if err != nil {
		return err
	}
	generic.OpenAPIConfig.SecurityDefinitions, generic.OpenAPIV3Config.SecuritySchemes = security, bearerToken
	known := direct
	if header != nil {
		known = union.New(frontProxy(header), direct)
	}
	// Somebody who is not known may be anonymous; somebody who cannot be verified may not.
	info.Authenticator = union.NewFailOnError(known, anonymous.NewAuthenticator(nil))
	return nil
}

// bearerToken says in OpenAPI v3 what the authenticator factory says in v2 only; without it
// operations would have no answer 401.
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

// clientCA returns the CA of client certificates: of the file that is given, else of the
// cluster, else nil.
func (o *Options) clientCA(client kubernetes.Interface) (dynamiccertificates.CAContentProvider, error) {
	if o.Authentication.ClientCert.ClientCA != "" || o.Authentication.SkipInClusterLookup {
		return o.Authentication.ClientCert.GetClientCAContentProvider()
	}
	return dynamiccertificates.NewDynamicCAFromConfigMapController("client-ca", authenticationNamespace, authenticationConfigMap, "client-ca-file", client)
}

// requestHeader returns how the front proxy is known: by the flags if a CA is given, else as
// the cluster says, else nil.
func (o *Options) requestHeader(client kubernetes.Interface) (*authenticatorfactory.RequestHeaderConfig, error) {
	if o.Authentication.RequestHeader.ClientCAFile != "" || o.Authentication.SkipInClusterLookup {
		return o.Authentication.RequestHeader.ToAuthenticationRequestHeaderConfig()
	}
	ca, err := dynamiccertificates.NewDynamicCAFromConfigMapController("front-proxy-ca", authenticationNamespace, authenticationConfigMap, "requestheader-client-ca-file", client)
	if err != nil {
		return nil, err
	}
	cluster := &genericoptions.DynamicRequestHeaderController{
		ConfigMapCAController: ca,
		RequestHeaderAuthRequestController: headerrequest.NewRequestHeaderAuthRequestController(
			authenticationConfigMap, authenticationNamespace, client,
			"requestheader-username-headers", "requestheader-uid-headers", "requestheader-group-headers",
			"requestheader-extra-headers-prefix", "requestheader-allowed-names"),
	}
	return &authenticatorfactory.RequestHeaderConfig{
		CAContentProvider:   cluster,
		UsernameHeaders:     headerrequest.StringSliceProviderFunc(cluster.UsernameHeaders),
		UIDHeaders:          headerrequest.StringSliceProviderFunc(cluster.UIDHeaders),
		GroupHeaders:        headerrequest.StringSliceProviderFunc(cluster.GroupHeaders),
		ExtraHeaderPrefixes: headerrequest.StringSliceProviderFunc(cluster.ExtraHeaderPrefixes),
		AllowedClientNames:  headerrequest.StringSliceProviderFunc(cluster.AllowedClientNames),
	}, nil
}

// authenticationClient returns a client for token reviews, from the kubeconfig or, where
// none is given, the pod it runs in.
func authenticationClient(kubeconfig string) (kubernetes.Interface, error) {
	config, err := rest.InClusterConfig()
	if kubeconfig != "" {
		config, err = clientcmd.BuildConfigFromFlags("", kubeconfig)
	}
	if err != nil {
		return nil, err
	}
	// Every request with a token that is not cached waits for this client.
	config.QPS, config.Burst = 200, 400
	return kubernetes.NewForConfig(config)
}
