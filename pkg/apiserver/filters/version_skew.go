// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package filters

import (
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/kubernetes/pkg/apis/batch"
)

// ApplyVersionSkewCheck adds WithVersionSkewCheck to the handler chain.
func ApplyVersionSkewCheck(generic *genericapiserver.Config, check func() error) {
	build := generic.BuildHandlerChainFunc
	generic.BuildHandlerChainFunc = func(apiHandler http.Handler, c *genericapiserver.Config) http.Handler {
		return build(WithVersionSkewCheck(apiHandler, check, c.Serializer), c)
	}
}

// WithVersionSkewCheck responds with 503 to writes of Jobs and CronJobs while check returns an
// error. It must run after WithRequestInfo.
func WithVersionSkewCheck(handler http.Handler, check func() error, s runtime.NegotiatedSerializer) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		info, found := genericapirequest.RequestInfoFrom(r.Context())
		if found && info.IsResourceRequest && info.APIGroup == batch.GroupName && isWrite(info.Verb) {
			if err := check(); err != nil {
				responsewriters.ErrorNegotiated(apierrors.NewServiceUnavailable(err.Error()), s, schema.GroupVersion{Group: info.APIGroup, Version: info.APIVersion}, w, r)
				return
			}
		}
		handler.ServeHTTP(w, r)
	})
}

// isWrite reports whether a request with the verb may change an object. A deletion changes one that
// has finalizers.
func isWrite(verb string) bool {
	switch verb {
	case "get", "list", "watch":
		return false
	}
	return true
}
