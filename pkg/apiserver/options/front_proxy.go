package options

import (
	"errors"
	"net/http"
	"slices"

	"k8s.io/apiserver/pkg/authentication/authenticatorfactory"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/server/healthz"
)

var errFrontProxyUnknown = errors.New("the front proxy's CA and header names have not arrived from ConfigMap " +
	authenticationNamespace + "/" + authenticationConfigMap + "; give --requestheader-client-ca-file where the cluster has none")

// awaitFrontProxy makes the server not ready until it knows the front proxy. Until then,
// what comes through kube-apiserver would be taken for anonymous and answered with 403, as
// if its user had no rights; the answer is 503 instead, which clients try again.
func (o *Options) awaitFrontProxy(generic *genericapiserver.Config, header *authenticatorfactory.RequestHeaderConfig) {
	known := func(*http.Request) error {
		if _, ok := header.CAContentProvider.VerifyOptions(); !ok || len(header.UsernameHeaders.Value()) == 0 {
			return errFrontProxyUnknown
		}
		return nil
	}
	generic.AddReadyzChecks(healthz.NamedCheck("front-proxy", known))
	build := generic.BuildHandlerChainFunc
	generic.BuildHandlerChainFunc = func(handler http.Handler, c *genericapiserver.Config) http.Handler {
		return refuseUnknown(build(handler, c), known, o.Authorization.AlwaysAllowPaths)
	}
}

// refuseUnknown answers 503 while known fails, except to requests with a token, which are
// not the front proxy's, and to those for the open paths, those of health.
func refuseUnknown(handler http.Handler, known func(*http.Request) error, open []string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := known(r); err != nil && r.Header.Get("Authorization") == "" && !slices.Contains(open, r.URL.Path) {
			w.Header().Set("Retry-After", "1")
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		handler.ServeHTTP(w, r)
	})
}
