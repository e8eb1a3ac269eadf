// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package filters

import (
	"encoding/json"
	"maps"
	"net/http"
	"strings"

	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/kube-openapi/pkg/handler3"

	"github.com/batchgate/batchgate/pkg/apis/policy"
)

const (
	// openAPIV3Path serves the list of OpenAPI v3 documents.
	openAPIV3Path = "/openapi/v3"
	// batchDocument is the OpenAPI v3 document of batch/v1.
	batchDocument = "apis/batch/v1"
	// aggregatorUser is the name of the user that kube-apiserver's aggregator reads that list as.
	aggregatorUser = "system:aggregator"
)

// ApplyAggregatorOpenAPI adds WithAggregatorOpenAPI to the handler chain.
func ApplyAggregatorOpenAPI(generic *genericapiserver.Config, nativeBatchDisabled func() bool) {
	build := generic.BuildHandlerChainFunc
	generic.BuildHandlerChainFunc = func(apiHandler http.Handler, c *genericapiserver.Config) http.Handler {
		return build(WithAggregatorOpenAPI(apiHandler, nativeBatchDisabled), c)
	}
}

// WithAggregatorOpenAPI removes the documents that kube-apiserver publishes itself from the list of
// OpenAPI v3 documents that the aggregator reads. It keeps the policy.batchgate.io group, and keeps
// batch/v1 if it is disabled in kube-apiserver.
//
// The aggregator merges the lists of all servers, whichever APIService they belong to. If two
// servers list a document, it proxies requests for the document to either of them, at random.
// With the document of batch/v1 in both lists, it would proxy some of them here even after a
// rollback, and respond with 503 while this server is down.
//
// nativeBatchDisabled must not send a request to kube-apiserver, because kube-apiserver lists no
// documents until the aggregator has this response.
func WithAggregatorOpenAPI(handler http.Handler, nativeBatchDisabled func() bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, ok := genericapirequest.UserFrom(r.Context())
		if r.URL.Path != openAPIV3Path || !ok || user.GetName() != aggregatorUser {
			handler.ServeHTTP(w, r)
			return
		}
		response := &bufferedResponseWriter{header: http.Header{}}
		handler.ServeHTTP(response, r)
		var documents handler3.OpenAPIV3Discovery
		if err := json.Unmarshal(response.body.Bytes(), &documents); err != nil || response.code != http.StatusOK {
			http.Error(w, "listing the OpenAPI v3 documents: "+response.body.String(), http.StatusInternalServerError)
			return
		}
		keepBatch := nativeBatchDisabled()
		maps.DeleteFunc(documents.Paths, func(path string, _ handler3.OpenAPIV3DiscoveryGroupVersion) bool {
			switch {
			case path == batchDocument:
				return !keepBatch
			case path == "apis/"+policy.GroupName:
				return false
			}
			return !strings.HasPrefix(path, "apis/"+policy.GroupName+"/")
		})
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(documents) // Fails only if the client is gone.
	})
}
