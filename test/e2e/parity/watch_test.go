package parity

import (
	"encoding/base64"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// token returns the token of the next page of a list in JSON or protobuf.
func token(body []byte) string { return tokens.FindString(string(body)) }

// expired returns the token of a page of a list of long ago.
func expired() string {
	return base64.RawURLEncoding.EncodeToString([]byte(`{"v":"meta.k8s.io/v1","rv":1,"start":"listed-1\u0000"}`))
}

// watch watches what has happened already, or what is there, so that nothing is waited for.
func watch(r *run) {
	for _, resource := range []string{"jobs", "cronjobs"} {
		r.begin("watches of %s", resource)
		var created *answer
		name := "watched"
		if resource == "jobs" {
			created = r.create(name, nil)
		} else {
			created = r.createCronJob(namespace, name)
		}
		for _, label := range []string{"one", "two"} {
			r.do(request{method: http.MethodPatch, path: in(resource, name), contentType: mergePatch, body: []byte(`{"metadata":{"labels":{"app":"` + label + `"}}}`)})
		}
		r.do(request{method: http.MethodDelete, path: in(resource, name) + "?propagationPolicy=Background"})
		from := "&resourceVersion=" + field(created.body, "metadata", "resourceVersion")
		for _, accept := range []string{jsonType, protobufType, yamlType, "application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch", tableV1, tableV1beta1, metadataV1,
			"application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", "*/*", "none"} {
			for _, query := range []string{
				"?watch=true&fieldSelector=metadata.name=watched", "?watch=1&labelSelector=app=one",
			} {
				r.do(request{path: in(resource) + query + from, accept: accept, until: "DELETED"})
			}
		}
		for _, path := range []string{
			"/watch" + in(resource) + "?fieldSelector=metadata.name=watched" + from, "/watch" + in(resource, name) + "?x=y" + from, "/watch/" + resource + "?fieldSelector=metadata.name=watched" + from,
			in(resource) + "?watch=true&includeObject=Object&fieldSelector=metadata.name=watched" + from,
		} {
			r.do(request{path: path, until: "DELETED"})
			r.do(request{path: path, accept: tableV1, until: "DELETED"})
		}
		all := inListed + resource + "?watch=true"
		r.begin("initial events of %s", resource)
		for _, accept := range []string{jsonType, protobufType, tableV1, metadataV1} {
			for _, query := range []string{"&resourceVersionMatch=NotOlderThan", "&resourceVersionMatch=NotOlderThan&resourceVersion=0", "&resourceVersionMatch=NotOlderThan&labelSelector=number=2"} {
				r.do(request{path: all + "&sendInitialEvents=true&allowWatchBookmarks=true" + query, accept: accept, until: metav1.InitialEventsAnnotationKey})
			}
			// One that is there comes as the first event.
			r.do(request{path: all + "&fieldSelector=metadata.name=listed-2&resourceVersion=0", accept: accept, until: "listed-2"})
			r.do(request{path: all + "&fieldSelector=metadata.name=listed-2", accept: accept, until: "listed-2"})
		}
		r.do(request{path: all + "&fieldSelector=metadata.name=listed-2&allowWatchBookmarks=true&timeoutSeconds=3&resourceVersion=0", until: "BOOKMARK"})
		r.begin("watches of %s that make no sense", resource)
		for _, query := range []string{
			"&resourceVersion=1&timeoutSeconds=1", "&resourceVersion=x", "&sendInitialEvents=true", "&sendInitialEvents=true&resourceVersionMatch=Exact", "&sendInitialEvents=x", "&resourceVersionMatch=NotOlderThan",
			"&fieldSelector=x=y", "&labelSelector=a%20b", "&timeoutSeconds=x", "&limit=1&resourceVersion=1&timeoutSeconds=1", "&continue=x&resourceVersion=1&timeoutSeconds=1", "&resourceVersion=-1",
		} {
			r.get(all + query)
		}
		r.get(inListed + resource + "/listed-1?watch=true&resourceVersion=1&timeoutSeconds=1")
		r.do(request{path: all + "&timeoutSeconds=1", accept: "text/plain"})
		r.do(request{method: http.MethodPost, path: all, body: []byte(`{}`)})
	}
}
