package parity

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

func lifeOfJobs(r *run) {
	lives(r, "jobs", `{"active":2,"ready":1,"terminating":0,"startTime":"2004-01-01T00:00:00Z"}`)
}

func lifeOfCronJobs(r *run) {
	lives(r, "cronjobs", `{"lastScheduleTime":"2004-01-01T00:00:00Z","active":[{"kind":"Job","namespace":"`+namespace+`","name":"a"}]}`)
}

// lives takes every object that is valid through all that is done to one.
func lives(r *run, resource, status string) {
	for _, m := range append(r.manifests(resource+".yaml"), upstreamValid...) {
		if m.resource == resource {
			r.begin("%s", m.name)
			life(r, m, status)
		}
	}
}

func life(r *run, m manifest, status string) {
	one := in(m.resource, m.name)
	for _, contentType := range []string{jsonType, yamlType, protobufType} {
		for _, query := range []string{"?dryRun=All", "?dryRun=All&fieldValidation=Strict"} {
			r.do(request{method: http.MethodPost, path: in(m.resource) + query, contentType: contentType, accept: contentType, body: m.content[contentType]})
		}
	}
	created := r.do(request{method: http.MethodPost, path: in(m.resource) + "?fieldManager=creator", body: m.content[jsonType]})
	if r.err == nil && created.code != http.StatusCreated {
		r.err = fmt.Errorf("it is not created: %s", created.body)
	}
	r.stored(m.resource, m.name, created)
	r.do(request{method: http.MethodPost, path: in(m.resource), body: m.content[jsonType]})

	for _, path := range []string{one, one + "/status"} {
		r.get(path)
		r.do(request{path: path, accept: yamlType})
		r.do(request{path: path, accept: protobufType})
	}
	r.get(one + "?pretty=true&resourceVersion=0")
	r.do(request{path: one, accept: tableV1})
	r.do(request{path: one, accept: metadataV1})

	// What a client writes back is what it has read.
	read := r.get(one)
	r.do(request{method: http.MethodPut, path: one, body: read.body})
	inYAML := r.do(request{path: one, accept: yamlType})
	r.do(request{method: http.MethodPut, path: one, contentType: yamlType, body: inYAML.body})
	inProtobuf := r.do(request{path: one, accept: protobufType})
	updated := r.do(request{method: http.MethodPut, path: one, contentType: protobufType, accept: protobufType, body: inProtobuf.body})
	r.stored(m.resource, m.name, updated)

	labeled := r.do(request{method: http.MethodPut, path: one + "?fieldManager=putter", body: changed(r.get(one).body, "put", "metadata", "labels", "by")})
	r.stored(m.resource, m.name, labeled)
	r.do(request{method: http.MethodPut, path: one, body: read.body}) // it is too old now

	r.do(request{method: http.MethodPut, path: one + "/status", body: changed(r.get(one).body, fromJSON(status), "status")})
	said := r.do(request{method: http.MethodPatch, path: one + "/status", contentType: mergePatch, body: []byte(`{"status":` + status + `}`)})
	r.stored(m.resource, m.name, said)
	r.get(one)

	watched := one + "?watch=true&resourceVersion=" + field(created.body, "metadata", "resourceVersion")
	name := "metadata.name=" + m.name
	r.do(request{path: strings.Replace(watched, one+"?", in(m.resource)+"?fieldSelector="+name+"&", 1), until: `"by":"put"`})

	r.do(request{method: http.MethodDelete, path: one + "?dryRun=All"})
	r.stored(m.resource, m.name, r.do(request{method: http.MethodDelete, path: one}))
	deleted := r.get(one)
	if m.resource == "jobs" && field(m.content[jsonType], "metadata", "finalizers") != "" {
		finalizers := strings.Trim(field(deleted.body, "metadata", "finalizers"), "[]")
		freed := r.do(request{method: http.MethodPatch, path: one, contentType: jsonPatch, body: []byte(`[{"op":"remove","path":"/metadata/finalizers"}]`),
			what: "all finalizers of a deleted Job removed: `" + strings.ReplaceAll(finalizers, " ", "`, `") + "`", differs: refused})
		r.storedAs(refused, m.resource, m.name, freed)
		r.forget(m.resource, m.name)
	}
}

func fromJSON(text string) (value any) {
	if json.Unmarshal([]byte(text), &value) != nil {
		return nil
	}
	return value
}
