// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// watchObjects watches past events and existing objects, so that no request has to wait.
func watchObjects(r *recording) {
	for _, resource := range []string{"jobs", "cronjobs"} {
		r.startScenario("watches of %s", resource)
		var created *response
		name := "watched"
		if resource == "jobs" {
			created = r.createJob(name, nil)
		} else {
			created = r.createCronJob(namespace, name)
		}
		for _, label := range []string{"one", "two"} {
			r.do(request{method: http.MethodPatch, path: resourcePath(resource, name), contentType: mergePatch, body: []byte(`{"metadata":{"labels":{"app":"` + label + `"}}}`)})
		}
		r.do(request{method: http.MethodDelete, path: resourcePath(resource, name) + "?propagationPolicy=Background"})
		from := "&resourceVersion=" + fieldText(created.body, "metadata", "resourceVersion")
		for _, accept := range []string{jsonType, protobufType, yamlType, "application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch", tableV1, tableV1beta1, metadataV1,
			"application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", "*/*", "none"} {
			for _, query := range []string{
				"?watch=true&fieldSelector=metadata.name=watched", "?watch=1&labelSelector=app=one",
			} {
				r.do(request{path: resourcePath(resource) + query + from, accept: accept, until: "DELETED"})
			}
		}
		for _, path := range []string{
			"/watch" + resourcePath(resource) + "?fieldSelector=metadata.name=watched" + from, "/watch" + resourcePath(resource, name) + "?x=y" + from, "/watch/" + resource + "?fieldSelector=metadata.name=watched" + from,
			resourcePath(resource) + "?watch=true&includeObject=Object&fieldSelector=metadata.name=watched" + from,
		} {
			r.do(request{path: path, until: "DELETED"})
			r.do(request{path: path, accept: tableV1, until: "DELETED"})
		}
		all := listedPath + resource + "?watch=true"
		r.startScenario("initial events of %s", resource)
		for _, accept := range []string{jsonType, protobufType, tableV1, metadataV1} {
			for _, query := range []string{"&resourceVersionMatch=NotOlderThan", "&resourceVersionMatch=NotOlderThan&resourceVersion=0", "&resourceVersionMatch=NotOlderThan&labelSelector=number=2"} {
				r.do(request{path: all + "&sendInitialEvents=true&allowWatchBookmarks=true" + query, accept: accept, until: metav1.InitialEventsAnnotationKey})
			}
			// The first event is an existing object.
			r.do(request{path: all + "&fieldSelector=metadata.name=listed-2&resourceVersion=0", accept: accept, until: "listed-2"})
			r.do(request{path: all + "&fieldSelector=metadata.name=listed-2", accept: accept, until: "listed-2"})
		}
		r.do(request{path: all + "&fieldSelector=metadata.name=listed-2&allowWatchBookmarks=true&timeoutSeconds=3&resourceVersion=0", until: "BOOKMARK"})
		r.startScenario("malformed watches of %s", resource)
		for _, query := range []string{
			"&resourceVersion=1&timeoutSeconds=1", "&resourceVersion=x", "&sendInitialEvents=true", "&sendInitialEvents=true&resourceVersionMatch=Exact", "&sendInitialEvents=x", "&resourceVersionMatch=NotOlderThan",
			"&fieldSelector=x=y", "&labelSelector=a%20b", "&timeoutSeconds=x", "&limit=1&resourceVersion=1&timeoutSeconds=1", "&continue=x&resourceVersion=1&timeoutSeconds=1", "&resourceVersion=-1",
		} {
			r.get(all + query)
		}
		r.get(listedPath + resource + "/listed-1?watch=true&resourceVersion=1&timeoutSeconds=1")
		r.do(request{path: all + "&timeoutSeconds=1", accept: "text/plain"})
		r.do(request{method: http.MethodPost, path: all, body: []byte(`{}`)})
	}
}
