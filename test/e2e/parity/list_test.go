// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
)

// Media types of tables and metadata.
const (
	tableV1      = "application/json;as=Table;v=v1;g=meta.k8s.io"
	tableV1beta1 = "application/json;as=Table;v=v1beta1;g=meta.k8s.io"
	metadataV1   = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
	metadataList = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
)

const listedPath = "/namespaces/" + listedNamespace + "/"

// createListedObjects creates Jobs and CronJobs with several statuses for lists and tables.
func (r *recording) createListedObjects() {
	for i, status := range []string{
		``,
		`{"active":2,"ready":1,"startTime":"2004-01-01T00:00:00Z"}`,
		`{"succeeded":1,"startTime":"2004-01-01T00:00:00Z","completionTime":"2004-01-01T05:00:00Z","uncountedTerminatedPods":{},"conditions":[` +
			conditionJSON("SuccessCriteriaMet") + `,` + conditionJSON("Complete") + `]}`,
		`{"failed":7,"startTime":"2004-01-01T00:00:00Z","conditions":[` + conditionJSON("FailureTarget") + `,` + conditionJSON("Failed") + `]}`,
		`{"startTime":"2004-01-01T00:00:00Z","conditions":[` + conditionJSON("Suspended") + `]}`,
	} {
		name := fmt.Sprint("listed-", i)
		body := fmt.Appendf(nil, `{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":%q,"labels":{"app":"listed","number":"%d"}},"spec":%s}`, name, i, specJSON)
		r.do(request{method: http.MethodPost, path: listedPath + "jobs", body: body})
		if status != "" {
			r.do(request{method: http.MethodPatch, path: listedPath + "jobs/" + name + "/status", contentType: mergePatch, body: []byte(`{"status":` + status + `}`)})
		}
		r.createCronJob(listedNamespace, name)
	}
	r.do(request{method: http.MethodPatch, path: listedPath + "cronjobs/listed-0/status", contentType: mergePatch,
		body: []byte(`{"status":{"lastScheduleTime":"2004-01-01T00:00:00Z","lastSuccessfulTime":"2004-01-01T00:00:00Z","active":[{"name":"a"},{"name":"b"}]}}`)})
	r.do(request{method: http.MethodPatch, path: listedPath + "cronjobs/listed-1", contentType: mergePatch,
		body: []byte(`{"metadata":{"labels":{"app":"listed"}},"spec":{"suspend":true,"timeZone":"Etc/UTC"}}`)})
}

func conditionJSON(name string) string {
	return `{"type":"` + name + `","status":"True","reason":"Tested","lastTransitionTime":"2004-01-01T05:00:00Z","lastProbeTime":"2004-01-01T05:00:00Z"}`
}

func listObjects(r *recording) {
	r.startScenario("listed objects")
	r.createListedObjects()
	for _, resource := range []string{"jobs", "cronjobs"} {
		all := listedPath + resource
		r.startScenario("list encodings of %s", resource)
		for _, accept := range []string{jsonType, yamlType, protobufType, metadataList, "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", "*/*", "none"} {
			r.do(request{path: all, accept: accept})
			r.do(request{path: "/" + resource + "?labelSelector=app", accept: accept})
		}
		r.do(request{path: all, header: map[string]string{"Accept-Encoding": "gzip"}})
		r.startScenario("selectors of %s", resource)
		for _, query := range []string{
			"labelSelector=app=listed", "labelSelector=app==listed,number%20in%20(1,2)", "labelSelector=!app", "labelSelector=app%20notin%20(listed)", "labelSelector=number%3E2",
			"labelSelector=", "labelSelector=a%20b", "labelSelector=app%20in%20()", "labelSelector=" + strings.Repeat("x", 64),
			"fieldSelector=metadata.name=listed-1", "fieldSelector=metadata.name!=listed-1", "fieldSelector=metadata.namespace=" + listedNamespace, "fieldSelector=metadata.namespace=other",
			"fieldSelector=status.successful=1", "fieldSelector=status.successful=0", "fieldSelector=status.successful!=1,metadata.name=listed-1", "fieldSelector=spec.suspend=true", "fieldSelector=x", "fieldSelector==",
		} {
			r.get(all + "?" + query)
			r.get("/" + resource + "?fieldSelector=metadata.name=none&" + query)
		}
		r.startScenario("pages of %s", resource)
		for _, accept := range []string{jsonType, protobufType, tableV1} {
			for _, query := range []string{"?limit=2", "?limit=5", "?limit=2&labelSelector=app", "?limit=2&resourceVersion=0", "?limit=0", "?limit=-1", "?limit=x"} {
				page := r.do(request{path: all + query, accept: accept})
				for next := continueToken(page.body); next != ""; next = continueToken(page.body) {
					page = r.do(request{path: all + query + "&continue=" + next, accept: accept})
				}
			}
		}
		page := r.get(all + "?limit=1")
		next, revision := continueToken(page.body), fieldText(page.body, "metadata", "resourceVersion")
		for _, query := range []string{
			"continue=" + next + "&resourceVersion=" + revision, "continue=" + next + "&resourceVersionMatch=Exact", "continue=odd", "limit=1&continue=" + expiredToken(),
			"resourceVersion=" + revision, "resourceVersion=" + revision + "&resourceVersionMatch=Exact", "resourceVersion=" + revision + "&resourceVersionMatch=NotOlderThan", "limit=2&resourceVersion=" + revision + "&resourceVersionMatch=Exact",
			"resourceVersion=0", "resourceVersion=0&resourceVersionMatch=Exact", "resourceVersion=0&resourceVersionMatch=NotOlderThan", "resourceVersion=1&resourceVersionMatch=Exact", "resourceVersion=1&resourceVersionMatch=NotOlderThan", "resourceVersion=1",
			"resourceVersionMatch=Exact", "resourceVersion=" + revision + "&resourceVersionMatch=Odd", "resourceVersion=x", "resourceVersion=-1", "resourceVersion=99999999999999999999",
			"timeoutSeconds=0", "timeoutSeconds=x", "timeoutSeconds=5", "sendInitialEvents=true", "allowWatchBookmarks=true", "watch=false", "shardSelector=odd", "unknown=1",
		} {
			r.get(all + "?" + query)
		}
		for _, path := range []string{all + "/listed-1?resourceVersion=" + revision, all + "/listed-1?resourceVersion=0", all + "/listed-1?resourceVersion=x", all + "/listed-1?resourceVersionMatch=Exact"} {
			r.get(path)
		}
	}
	r.startScenario("long compressed list")
	for _, m := range validUpstreamObjects {
		for i := range 8 {
			path := "/namespaces/" + podSecurityNamespace + "/" + m.resource
			r.do(request{method: http.MethodPost, path: path, body: withField(m.content[jsonType], fmt.Sprint("long-", i), "metadata", "name")})
		}
	}
	for _, accept := range []string{jsonType, protobufType, yamlType, tableV1} {
		r.do(request{path: "/namespaces/" + podSecurityNamespace + "/jobs", accept: accept, header: map[string]string{"Accept-Encoding": "gzip"}})
	}
}

// continueToken returns the continue token of a list in JSON or protobuf.
func continueToken(body []byte) string { return tokens.FindString(string(body)) }

// expiredToken returns a continue token with a compacted revision.
func expiredToken() string {
	return base64.RawURLEncoding.EncodeToString([]byte(`{"v":"meta.k8s.io/v1","rv":1,"start":"listed-1\u0000"}`))
}

func readTables(r *recording) {
	r.startScenario("tables")
	for _, resource := range []string{"jobs", "cronjobs"} {
		all, one := listedPath+resource, listedPath+resource+"/listed-"
		for _, accept := range []string{
			tableV1, tableV1beta1, tableV1 + "," + tableV1beta1 + "," + jsonType, metadataV1, metadataList,
			"application/json;as=PartialObjectMetadata;v=v1beta1;g=meta.k8s.io", "application/json;as=PartialObjectMetadataList;v=v1beta1;g=meta.k8s.io",
			"application/yaml;as=Table;v=v1;g=meta.k8s.io", "application/yaml;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
			"application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io", "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
			"application/json;as=Table;v=v2;g=meta.k8s.io", "application/json;as=Odd;v=v1;g=meta.k8s.io", "application/json;as=Table",
		} {
			for _, path := range []string{all, all + "?limit=2", one + "0", one + "1", one + "2", one + "3/status", one + "4", one + "9", all + "?fieldSelector=metadata.name=none", "/" + resource + "?labelSelector=app=listed"} {
				r.do(request{path: path, accept: accept})
			}
		}
		for _, query := range []string{"None", "Metadata", "Object", "Odd", ""} {
			r.do(request{path: all + "?includeObject=" + query, accept: tableV1})
			r.do(request{path: one + "2?includeObject=" + query, accept: tableV1beta1})
		}
		for _, method := range []string{http.MethodPost, http.MethodPatch, http.MethodPut, http.MethodDelete} {
			r.do(request{method: method, path: one + "1?dryRun=All", contentType: mergePatch, accept: tableV1, body: []byte(`{}`)})
		}
	}
}
