// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package authentication

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/authenticatorfactory"
	"k8s.io/apiserver/pkg/authentication/request/headerrequest"
	"k8s.io/apiserver/pkg/server/dynamiccertificates"
	genericoptions "k8s.io/apiserver/pkg/server/options"
	"k8s.io/client-go/kubernetes"
)

// kube-apiserver publishes the CAs and header names that an aggregated API server needs in this
// ConfigMap.
const (
	configMapNamespace = metav1.NamespaceSystem
	configMapName      = "extension-apiserver-authentication"
)

// clientCA returns the CA for client certificates: from the flags if they name a file, otherwise
// from the cluster. It returns nil if the flags name no file and disable the cluster lookup.
func clientCA(o *genericoptions.DelegatingAuthenticationOptions, client kubernetes.Interface) (dynamiccertificates.CAContentProvider, error) {
	if o.ClientCert.ClientCA != "" || o.SkipInClusterLookup {
		return o.ClientCert.GetClientCAContentProvider()
	}
	return dynamiccertificates.NewDynamicCAFromConfigMapController("client-ca", configMapNamespace, configMapName, "client-ca-file", client)
}

// requestHeaderConfig returns the settings that verify the front proxy: from the flags if they
// name a CA file, otherwise from the cluster. It returns nil if the flags name no file and
// disable the cluster lookup.
func requestHeaderConfig(o *genericoptions.DelegatingAuthenticationOptions, client kubernetes.Interface) (*authenticatorfactory.RequestHeaderConfig, error) {
	if o.RequestHeader.ClientCAFile != "" || o.SkipInClusterLookup {
		return o.RequestHeader.ToAuthenticationRequestHeaderConfig()
	}
	ca, err := dynamiccertificates.NewDynamicCAFromConfigMapController("front-proxy-ca", configMapNamespace, configMapName, "requestheader-client-ca-file", client)
	if err != nil {
		return nil, err
	}
	cluster := &genericoptions.DynamicRequestHeaderController{
		ConfigMapCAController: ca,
		RequestHeaderAuthRequestController: headerrequest.NewRequestHeaderAuthRequestController(
			configMapName, configMapNamespace, client,
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
