package options

import (
	"bytes"
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
	// openAPIV3Path is where the list of the documents of OpenAPI v3 is.
	openAPIV3Path = "/openapi/v3"
	// aggregatorUser is who kube-apiserver's aggregator says it is when it reads that list.
	aggregatorUser = "system:aggregator"
)

// buildHandlerChain is the generic server's chain, around what is special about OpenAPI here
// and within what is special about the end.
func buildHandlerChain(handler http.Handler, config *genericapiserver.Config) http.Handler {
	handler = genericapiserver.DefaultBuildHandlerChain(withoutDocumentHash(ownDocumentsForAggregator(handler)), config)
	return drain(handler, config)
}

// ownDocumentsForAggregator lists to the aggregator the documents of the policies' group only.
// kube-apiserver publishes the others itself, the same ones. The aggregator takes all that a
// server lists, whichever APIService it came by, and passes a request for a document that two
// servers list on to either, at random: it would ask this one for that of batch/v1 even after
// a rollback, and answer 503 while this one is down.
func ownDocumentsForAggregator(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, ok := genericapirequest.UserFrom(r.Context())
		if r.URL.Path != openAPIV3Path || !ok || user.GetName() != aggregatorUser {
			handler.ServeHTTP(w, r)
			return
		}
		answer := &bufferedAnswer{header: http.Header{}}
		handler.ServeHTTP(answer, r)
		var documents handler3.OpenAPIV3Discovery
		if err := json.Unmarshal(answer.body.Bytes(), &documents); err != nil || answer.code != http.StatusOK {
			http.Error(w, "listing the documents of OpenAPI v3: "+answer.body.String(), http.StatusInternalServerError)
			return
		}
		maps.DeleteFunc(documents.Paths, func(path string, _ handler3.OpenAPIV3DiscoveryGroupVersion) bool {
			return path != "apis/"+policy.GroupName && !strings.HasPrefix(path, "apis/"+policy.GroupName+"/")
		})
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(documents) // whoever it is for has gone
	})
}

// bufferedAnswer is an http.ResponseWriter that keeps the answer.
type bufferedAnswer struct {
	header http.Header
	body   bytes.Buffer
	code   int
}

// Header implements http.ResponseWriter.
func (a *bufferedAnswer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *bufferedAnswer) WriteHeader(code int) { a.code = code }

// Write implements http.ResponseWriter.
func (a *bufferedAnswer) Write(p []byte) (int, error) {
	if a.code == 0 {
		a.code = http.StatusOK
	}
	return a.body.Write(p)
}

// withoutDocumentHash answers a request for a document of OpenAPI v3 whatever hash it names.
// The generic server redirects one with another hash than the document's. But the aggregator
// keeps its list for a minute, longer than a rollout to the next release takes, and makes an
// error of a redirect. The price is that caches have to ask again, by ETag.
func withoutDocumentHash(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if query := r.URL.Query(); strings.HasPrefix(r.URL.Path, openAPIV3Path+"/") && query.Has("hash") {
			query.Del("hash")
			r = r.Clone(r.Context())
			r.URL.RawQuery = query.Encode()
		}
		handler.ServeHTTP(w, r)
	})
}
