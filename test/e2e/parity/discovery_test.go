// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"context"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

// Media types of discovery and OpenAPI.
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

// readDocuments reads the discovery and OpenAPI documents of batch/v1 and of all groups that
// include it. It reads each document again with its ETag, which returns 304.
func readDocuments(r *recording) {
	r.startScenario("documents")
	if native != nil {
		r.awaitNativeDocuments()
	}
	for _, d := range documents {
		resp := r.do(request{path: d.path, accept: d.accept})
		if tag := resp.header.Get("Etag"); tag != "" {
			r.do(request{path: d.path, accept: d.accept, header: map[string]string{"If-None-Match": tag}})
		}
	}
	r.do(request{method: http.MethodHead, path: "/openapi/v2"})
	r.do(request{method: http.MethodPost, path: "/openapi/v3/apis/batch/v1", body: []byte("{}")})
}

// awaitNativeDocuments waits until the documents are equal to the native ones, because the aggregator
// updates them asynchronously after an APIService changes. After a timeout, the comparison reports
// what differs.
func (r *recording) awaitNativeDocuments() {
	published := map[string]exchange{}
	for _, e := range native.exchanges {
		if e.area == r.area {
			published[e.description] = e
		}
	}
	_ = wait.PollUntilContextTimeout(r.ctx, time.Second, waitTimeout, true, func(context.Context) (bool, error) {
		for _, d := range documents {
			req := request{method: http.MethodGet, path: d.path, accept: d.accept}
			resp, err := send(r.ctx, req)
			if err != nil {
				return false, nil
			}
			want, got := published[r.describe(req)], exchange{request: req, response: resp, text: r.normalizeResponse(resp)}
			for _, d := range commonDifferences {
				got.text, _ = d.undo(want, got)
			}
			if got.text != want.text {
				return false, nil
			}
		}
		return true, nil
	})
	r.reset()
}
