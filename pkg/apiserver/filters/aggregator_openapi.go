// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package filters

import (
	"encoding/json"
	"maps"
	"net/http"
	"strings"

	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/kube-openapi/pkg/handler3"

	"github.com/batchgate/batchgate/pkg/apis/policy"
)

const (
	// openAPIV3Path serves the list of OpenAPI v3 documents.
	openAPIV3Path = "/openapi/v3"
	// aggregatorUser is the user name that kube-apiserver's aggregator reads that list with.
	aggregatorUser = "system:aggregator"
)

// WithAggregatorOpenAPI limits the list of OpenAPI v3 documents that the aggregator gets to the
// policy.batchgate.io group. kube-apiserver publishes the other documents itself, with the same
// content.
//
// The aggregator merges the lists of all servers, whichever APIService they belong to. If two
// servers list a document, it proxies requests for the document to either of them, at random.
// With the document of batch/v1 in the list, it would proxy some of them here even after a
// rollback, and respond with 503 while this server is down.
func WithAggregatorOpenAPI(handler http.Handler) http.Handler {
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
		maps.DeleteFunc(documents.Paths, func(path string, _ handler3.OpenAPIV3DiscoveryGroupVersion) bool {
			return path != "apis/"+policy.GroupName && !strings.HasPrefix(path, "apis/"+policy.GroupName+"/")
		})
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(documents) // Fails only if the client is gone.
	})
}
