// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"cmp"
	"fmt"
	"net/http"
)

// sendUpstreamTestData sends upstream's test data with other names. Most of it is invalid, and the
// responses list all invalid fields.
func sendUpstreamTestData(r *recording) {
	for _, f := range upstreamFiles {
		r.startScenario("%s", f.name)
		for _, query := range []string{"", "?fieldValidation=Strict"} {
			r.do(request{method: http.MethodPost, path: resourcePath(f.resource) + query, contentType: f.contentType, body: f.content})
		}
		r.do(request{method: http.MethodPost, path: resourcePath(f.resource), contentType: f.contentType, accept: protobufType, body: f.content})
		r.do(request{method: http.MethodPut, path: resourcePath(f.resource, "namevalue"), contentType: f.contentType, body: f.content})
		if f.contentType != protobufType {
			r.do(request{method: http.MethodPatch, path: resourcePath(f.resource, "namevalue") + "?fieldManager=a", contentType: applyPatch, body: f.content})
		}
	}
}

func sendInvalidObjects(r *recording) {
	for i, m := range r.readManifests("invalid.yaml") {
		r.startScenario("%s", cmp.Or(m.name, fmt.Sprint("object ", i)))
		for _, contentType := range []string{jsonType, yamlType, protobufType} {
			if m.content[contentType] != nil {
				r.do(request{method: http.MethodPost, path: resourcePath(m.resource), contentType: contentType, body: m.content[contentType]})
			}
		}
		r.do(request{method: http.MethodPost, path: resourcePath(m.resource) + "?fieldValidation=Strict&dryRun=All", accept: yamlType, body: m.content[jsonType]})
		if m.name == "wrong-types" {
			continue // apply reports wrong types in random order
		}
		r.do(request{method: http.MethodPatch, path: resourcePath(m.resource, cmp.Or(m.name, "none")) + "?fieldManager=a", contentType: applyPatch, body: m.content[yamlType]})
	}
}

// sendUnknownFields sends unknown and duplicate fields.
func sendUnknownFields(r *recording) {
	for _, kind := range []string{"Job", "CronJob"} {
		resource, inSpec := "jobs", `"template":`+templateJSON
		if kind == "CronJob" {
			resource, inSpec = "cronjobs", `"schedule":"@yearly","jobTemplate":{"spec":`+specJSON+`}`
		}
		for _, parts := range [][3]string{
			{"unknown", `"labels":{"a":"b"},"nam":"x"`, `"suspend":true,"suspended":1,"deep":{"er":[]}`},
			{"double", `"labels":{"a":"b","a":"c"},"labels":{"a":"d"}`, `"suspend":true,"suspend":false`},
			{"odd-name", `"Labels":{"a":"b"}`, `"Suspend":true,"":1`},
		} {
			name := parts[0]
			body := fmt.Appendf(nil, `{"apiVersion":"batch/v1","kind":%q,"metadata":{"name":%q,%s},"spec":{%s,%s},"extra":1}`, kind, name, parts[1], parts[2], inSpec)
			r.startScenario("%s %s", kind, name)
			for _, contentType := range []string{jsonType, yamlType} {
				for _, validation := range []string{"", "&fieldValidation=Ignore", "&fieldValidation=Warn", "&fieldValidation=Strict", "&fieldValidation=Odd"} {
					r.do(request{method: http.MethodPost, path: resourcePath(resource) + "?dryRun=All" + validation, contentType: contentType, body: body})
				}
			}
			created := r.do(request{method: http.MethodPost, path: resourcePath(resource), body: body})
			r.recordStored(resource, name, created)
			for _, validation := range []string{"", "fieldValidation=Ignore", "fieldValidation=Warn", "fieldValidation=Strict"} {
				patch := []byte(`{"metadata":{"labels":{"a":"p","a":"q"},"nam":"x"},"spec":{"suspended":1},"extra":{}}`)
				for _, contentType := range []string{mergePatch, strategicPatch} {
					r.do(request{method: http.MethodPatch, path: resourcePath(resource, name) + "?" + validation, contentType: contentType, body: patch})
				}
				r.do(request{method: http.MethodPatch, path: resourcePath(resource, name) + "?" + validation, contentType: jsonPatch, body: []byte(`[{"op":"add","path":"/spec/suspended","value":1},{"op":"add","path":"/metadata/labels","value":{"a":"1","a":"2"}}]`)})
				r.do(request{method: http.MethodPatch, path: resourcePath(resource, name) + "?fieldManager=a&force=true&" + validation, contentType: applyPatch,
					body: fmt.Appendf(nil, `{"apiVersion":"batch/v1","kind":%q,"metadata":{"labels":{"b":"c"}},"spec":{"suspended":1}}`, kind)})
			}
			r.get(resourcePath(resource, name))
		}
	}
}
