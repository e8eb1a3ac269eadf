// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package filters

import (
	"net/http"

	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/component-base/version"
)

// BuildHandlerChain adds the filters of this package to the generic server's handler chain. It
// is a genericapiserver.Config.BuildHandlerChainFunc.
func BuildHandlerChain(apiHandler http.Handler, c *genericapiserver.Config) http.Handler {
	handler := WithBodyLimit(apiHandler)
	handler = WithoutOpenAPIHash(handler)
	handler = genericapiserver.DefaultBuildHandlerChain(handler, c)
	handler = WithConnectionClose(handler, c.ShutdownInitiatedNotify(), c.RequestInfoResolver, c.LongRunningFunc)
	return WithVersionHeader(handler, version.Get().GitVersion)
}
