// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package authentication

import (
	"fmt"

	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/authentication/authenticatorfactory"
	genericapiserver "k8s.io/apiserver/pkg/server"
	genericoptions "k8s.io/apiserver/pkg/server/options"

	"github.com/batchgate/batchgate/pkg/apiserver/metrics"
)

// ApplyClientCertificate configures authentication for a server without a cluster: client
// certificates identify users, and other requests are anonymous.
func ApplyClientCertificate(generic *genericapiserver.Config, o genericoptions.ClientCertAuthenticationOptions) error {
	ca, err := o.GetClientCAContentProvider()
	if err != nil {
		return fmt.Errorf("reading the client CA: %w", err)
	}
	if err := generic.Authentication.ApplyClientCert(ca, generic.SecureServing); err != nil {
		return err
	}
	metrics.RecordCABundle("client-ca", ca.CurrentCABundleContent)
	generic.Authentication.Authenticator, generic.OpenAPIConfig.SecurityDefinitions, err = authenticatorfactory.DelegatingAuthenticatorConfig{
		Anonymous:                          &apiserver.AnonymousAuthConfig{Enabled: true},
		ClientCertificateCAContentProvider: ca,
	}.New()
	return err
}
