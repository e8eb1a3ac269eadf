package parity

import (
	"context"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// The forms of discovery and OpenAPI.
const (
	aggregated      = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
	aggregatedProto = "application/vnd.kubernetes.protobuf;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
	openAPIv2Proto  = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
	openAPIv3Proto  = "application/com.github.proto-openapi.spec.v3@v1.0+protobuf"
)

var documents = []struct{ path, accept string }{
	{"/apis", jsonType}, {"/apis", aggregated}, {"/apis", aggregatedProto}, {"/apis", aggregated + "," + jsonType},
	{"/apis/batch", jsonType}, {"/apis/batch", yamlType}, {"/apis/batch", protobufType},
	{"/apis/batch/v1", jsonType}, {"/apis/batch/v1", yamlType}, {"/apis/batch/v1", protobufType}, {"/apis/batch/v1", "text/plain"},
	{"/openapi/v2", jsonType}, {"/openapi/v2", openAPIv2Proto}, {"/openapi/v2", "text/plain"},
	{"/openapi/v3", jsonType}, {"/openapi/v3/apis/batch", jsonType}, {"/openapi/v3/apis/batch", openAPIv3Proto},
	{"/openapi/v3/apis/batch/v1", jsonType}, {"/openapi/v3/apis/batch/v1", openAPIv3Proto}, {"/openapi/v3/apis/batch/v1?hash=other", jsonType},
}

// publish reads whole documents as clients see them, of all groups where there is no other. That
// of one group which a client has already, it is not sent again.
func publish(r *run) {
	r.begin("documents")
	if native != nil {
		r.settle()
	}
	for _, d := range documents {
		a := r.do(request{path: d.path, accept: d.accept})
		if tag := a.header.Get("Etag"); tag != "" {
			r.do(request{path: d.path, accept: d.accept, header: map[string]string{"If-None-Match": tag}})
		}
	}
	r.do(request{method: http.MethodHead, path: "/openapi/v2"})
	r.do(request{method: http.MethodPost, path: "/openapi/v3/apis/batch/v1", body: []byte("{}")})
}

// settle waits until what is published is what was published natively: the aggregator reads
// documents anew where an APIService has changed, in its own time. What then still differs, the
// comparison says.
func (r *run) settle() {
	published := map[string]exchange{}
	for _, e := range native.exchanges {
		if e.area == r.area {
			published[e.question] = e
		}
	}
	_ = wait.PollUntilContextTimeout(r.ctx, time.Second, patience, true, func(context.Context) (bool, error) {
		for _, d := range documents {
			req := request{method: http.MethodGet, path: d.path, accept: d.accept}
			a, err := send(r.ctx, req)
			if err != nil {
				return false, nil
			}
			want, got := published[r.question(req)], exchange{request: req, answer: a, seen: r.normalize(a)}
			for _, d := range everywhere {
				got.seen, _ = d.undo(want, got)
			}
			if got.seen != want.seen {
				return false, nil
			}
		}
		return true, nil
	})
	r.reset()
}
