// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

func jobLifecycles(r *recording) {
	lifecycles(r, "jobs", `{"active":2,"ready":1,"terminating":0,"startTime":"2004-01-01T00:00:00Z"}`)
}

func cronJobLifecycles(r *recording) {
	lifecycles(r, "cronjobs", `{"lastScheduleTime":"2004-01-01T00:00:00Z","active":[{"kind":"Job","namespace":"`+namespace+`","name":"a"}]}`)
}

// lifecycles runs lifecycle for all valid objects of the resource.
func lifecycles(r *recording, resource, status string) {
	for _, m := range append(r.readManifests(resource+".yaml"), validUpstreamObjects...) {
		if m.resource == resource {
			r.startScenario("%s", m.name)
			lifecycle(r, m, status)
		}
	}
}

// lifecycle creates an object and then reads, updates, watches and deletes it.
func lifecycle(r *recording, m manifest, status string) {
	one := resourcePath(m.resource, m.name)
	for _, contentType := range []string{jsonType, yamlType, protobufType} {
		for _, query := range []string{"?dryRun=All", "?dryRun=All&fieldValidation=Strict"} {
			r.do(request{method: http.MethodPost, path: resourcePath(m.resource) + query, contentType: contentType, accept: contentType, body: m.content[contentType]})
		}
	}
	created := r.do(request{method: http.MethodPost, path: resourcePath(m.resource) + "?fieldManager=creator", body: m.content[jsonType]})
	if r.err == nil && created.code != http.StatusCreated {
		r.err = fmt.Errorf("the object was not created: %s", created.body)
	}
	r.recordStored(m.resource, m.name, created)
	r.do(request{method: http.MethodPost, path: resourcePath(m.resource), body: m.content[jsonType]})

	for _, path := range []string{one, one + "/status"} {
		r.get(path)
		r.do(request{path: path, accept: yamlType})
		r.do(request{path: path, accept: protobufType})
	}
	r.get(one + "?pretty=true&resourceVersion=0")
	r.do(request{path: one, accept: tableV1})
	r.do(request{path: one, accept: metadataV1})

	// Write back what was read, in each encoding. Nothing changes.
	read := r.get(one)
	r.do(request{method: http.MethodPut, path: one, body: read.body})
	inYAML := r.do(request{path: one, accept: yamlType})
	r.do(request{method: http.MethodPut, path: one, contentType: yamlType, body: inYAML.body})
	inProtobuf := r.do(request{path: one, accept: protobufType})
	updated := r.do(request{method: http.MethodPut, path: one, contentType: protobufType, accept: protobufType, body: inProtobuf.body})
	r.recordStored(m.resource, m.name, updated)

	labeled := r.do(request{method: http.MethodPut, path: one + "?fieldManager=putter", body: withField(r.get(one).body, "put", "metadata", "labels", "by")})
	r.recordStored(m.resource, m.name, labeled)
	r.do(request{method: http.MethodPut, path: one, body: read.body}) // conflict

	r.do(request{method: http.MethodPut, path: one + "/status", body: withField(r.get(one).body, fromJSON(status), "status")})
	patched := r.do(request{method: http.MethodPatch, path: one + "/status", contentType: mergePatch, body: []byte(`{"status":` + status + `}`)})
	r.recordStored(m.resource, m.name, patched)
	r.get(one)

	watched := one + "?watch=true&resourceVersion=" + fieldText(created.body, "metadata", "resourceVersion")
	name := "metadata.name=" + m.name
	r.do(request{path: strings.Replace(watched, one+"?", resourcePath(m.resource)+"?fieldSelector="+name+"&", 1), until: `"by":"put"`})

	r.do(request{method: http.MethodDelete, path: one + "?dryRun=All"})
	r.recordStored(m.resource, m.name, r.do(request{method: http.MethodDelete, path: one}))
	deleted := r.get(one)
	if m.resource == "jobs" && fieldText(m.content[jsonType], "metadata", "finalizers") != "" {
		finalizers := strings.Trim(fieldText(deleted.body, "metadata", "finalizers"), "[]")
		freed := r.do(request{method: http.MethodPatch, path: one, contentType: jsonPatch, body: []byte(`[{"op":"remove","path":"/metadata/finalizers"}]`),
			title: "finalizers of a deleted Job removed: `" + strings.ReplaceAll(finalizers, " ", "`, `") + "`", difference: deniedByGate})
		r.recordStoredDifference(deniedByGate, m.resource, m.name, freed)
		r.deleteFromEtcd(m.resource, m.name)
	}
}

func fromJSON(text string) (value any) {
	if json.Unmarshal([]byte(text), &value) != nil {
		return nil
	}
	return value
}
