// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package authentication

import (
	"errors"
	"net/http"

	"k8s.io/apiserver/pkg/authentication/authenticatorfactory"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/healthz"

	"github.com/batchgate/batchgate/pkg/apiserver/filters"
)

var errNoFrontProxyConfig = errors.New("waiting for the front proxy's CA and header names in ConfigMap " +
	configMapNamespace + "/" + configMapName + "; if the cluster does not publish them, set --requestheader-client-ca-file")

// waitForFrontProxyConfig keeps the server not ready, and rejects requests that may come from
// the front proxy, until header has a CA and header names.
func waitForFrontProxyConfig(generic *genericapiserver.Config, header *authenticatorfactory.RequestHeaderConfig, alwaysAllowPaths []string) {
	ready := func() error {
		if _, ok := header.CAContentProvider.VerifyOptions(); !ok || len(header.UsernameHeaders.Value()) == 0 {
			return errNoFrontProxyConfig
		}
		return nil
	}
	generic.AddReadyzChecks(healthz.NamedCheck("front-proxy", func(*http.Request) error { return ready() }))
	build := generic.BuildHandlerChainFunc
	generic.BuildHandlerChainFunc = func(handler http.Handler, c *genericapiserver.Config) http.Handler {
		return filters.WithFrontProxyReadiness(build(handler, c), ready, alwaysAllowPaths)
	}
}
