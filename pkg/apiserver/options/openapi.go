package options

import (
	"net/http"
	"strings"

	genericapiserver "k8s.io/apiserver/pkg/server"
)

// buildHandlerChain is the generic server's chain, around withoutDocumentHash.
func buildHandlerChain(handler http.Handler, config *genericapiserver.Config) http.Handler {
	return genericapiserver.DefaultBuildHandlerChain(withoutDocumentHash(handler), config)
}

// withoutDocumentHash answers a request for a document of OpenAPI v3 whatever hash it names.
// The generic server redirects one with another hash than the document's. But a
// kube-apiserver that starts while v1.batch is taken over has two documents of batch/v1, its
// own and this server's. It lists the hash of one of them, passes the request on to
// either, and makes an error of a redirect: kubectl explain job would fail now and then.
// The price is that caches have to ask again, by ETag.
func withoutDocumentHash(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if query := r.URL.Query(); strings.HasPrefix(r.URL.Path, "/openapi/v3/") && query.Has("hash") {
			query.Del("hash")
			r = r.Clone(r.Context())
			r.URL.RawQuery = query.Encode()
		}
		handler.ServeHTTP(w, r)
	})
}
