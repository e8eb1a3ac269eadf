// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"net/http"
	"strings"
)

// patches are patches that both servers allow or that upstream rejects.
var patches = []struct{ contentType, query, body string }{
	{mergePatch, "", `{}`},
	{mergePatch, "", `{"metadata":{"labels":{"a":"b","c":"d"}}}`},
	{mergePatch, "", `{"metadata":{"labels":{"a":null}}}`},
	{mergePatch, "?dryRun=All", `{"spec":{"parallelism":7}}`},
	// See userAgent for the name.
	{mergePatch, "?fieldManager=test-client-merger", `{"spec":{"parallelism":3}}`},
	{mergePatch, "", `{"spec":{"parallelism":null}}`},
	{mergePatch, "", `{"spec":{"parallelism":-1}}`},
	{mergePatch, "", `{"spec":{"parallelism":"many"}}`},
	{mergePatch, "", `{"metadata":{"labels":{"a b":"c d"}}}`},
	{mergePatch, "", `{"metadata":{"name":"other"}}`},
	{mergePatch, "", `{"metadata":{"namespace":"other"}}`},
	{mergePatch, "", `{"metadata":{"resourceVersion":"1"}}`},
	{mergePatch, "", `{"metadata":{"resourceVersion":"x"}}`},
	{mergePatch, "", `{"metadata":{"managedFields":[{}]}}`},
	{mergePatch, "", `{"apiVersion":"v1","kind":"Pod"}`},
	{mergePatch, "", `{"op":"replace","path":"/status","value":"Available"}`},
	{mergePatch, "", `[]`},
	{mergePatch, "", `null`},
	{mergePatch, "", `{"a":`},
	{mergePatch, "", ``},
	{mergePatch, "?force=true", `{}`},
	{mergePatch, "?dryRun=Some", `{}`},
	{mergePatch, "?fieldManager=" + longFieldManager, `{}`},
	{jsonPatch, "", `[]`},
	{jsonPatch, "", `[{"op":"add","path":"/metadata/labels","value":{"x":"y"}}]`},
	{jsonPatch, "", `[{"op":"test","path":"/metadata/labels/x","value":"y"},{"op":"move","from":"/metadata/labels/x","path":"/metadata/labels/z"}]`},
	{jsonPatch, "", `[{"op":"copy","from":"/metadata/labels/z","path":"/metadata/labels/w"},{"op":"replace","path":"/spec/parallelism","value":2}]`},
	{jsonPatch, "", `[{"op":"test","path":"/spec/parallelism","value":9}]`},
	{jsonPatch, "", `[{"op":"remove","path":"/metadata/none"}]`},
	{jsonPatch, "", `[{"op":"odd","path":"/metadata/none"}]`},
	{jsonPatch, "", `[{"op":"add","path":"no/slash","value":1}]`},
	{jsonPatch, "", `[{"op":"replace","path":"","value":[]}]`},
	{jsonPatch, "", `{}`},
	{jsonPatch, "", `[` + strings.Repeat(`{"op":"test","path":"/kind","value":"Job"},`, 10001) + `{"op":"test","path":"/kind","value":"Job"}]`},
	{strategicPatch, "", `{}`},
	{strategicPatch, "", `{"metadata":{"labels":{"s":"t"}},"spec":{"template":{"spec":{"containers":[{"name":"main","image":"example.com/work:1"}]}}}}`},
	{strategicPatch, "", `{"metadata":{"labels":{"$patch":"replace","only":"this"}}}`},
	{strategicPatch, "", `{"metadata":{"labels":{"$retainKeys":["only"]}}}`},
	{strategicPatch, "", `{"$patch":"odd"}`},
	{strategicPatch, "", `{"spec":{"parallelism":{}}}`},
	{strategicPatch, "", `[]`},
	{applyPatch, "", `{"apiVersion":"batch/v1","kind":"Job"}`},
	{applyPatch, "?fieldManager=one", "apiVersion: batch/v1\nkind: Job\nmetadata: {labels: {applied: one}}\nspec: {parallelism: 4}\n"},
	{applyPatch, "?fieldManager=one&force=true", "apiVersion: batch/v1\nkind: Job\nmetadata: {labels: {applied: one}}\nspec: {parallelism: 4}\n"},
	{applyPatch, "?fieldManager=two", `{"apiVersion":"batch/v1","kind":"Job","metadata":{"labels":{"applied":"two"}}}`},
	{applyPatch, "?fieldManager=two&force=true", `{"apiVersion":"batch/v1","kind":"Job","metadata":{"labels":{"applied":"two"}}}`},
	{applyPatch, "?fieldManager=two&force=true&dryRun=All", `{"apiVersion":"batch/v1","kind":"Job","metadata":{"labels":{}}}`},
	{applyPatch, "?fieldManager=one", `{"apiVersion":"batch/v2","kind":"Job"}`},
	{applyPatch, "?fieldManager=one", `{"apiVersion":"batch/v1","kind":"CronJob"}`},
	{applyPatch, "?fieldManager=one", `{"kind":"Job"}`},
	{applyPatch, "?fieldManager=one", `{"apiVersion":"batch/v1","kind":"Job","metadata":{"managedFields":[{"manager":"x"}]}}`},
	{applyPatch, "?fieldManager=one", `{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"other"}}`},
	{applyPatch, "?fieldManager=one", `a: [`},
	{applyPatch, "?fieldManager=one", `{"apiVersion":"batch/v1","kind":"Job","a":1,"a":2}`},
	{"application/apply-patch+cbor", "?fieldManager=one", `{}`},
	{"text/plain", "", `{}`},
	{jsonType, "", `{}`},
	{"none", "", `{}`},
	{"a;b/c", "", `{}`},
	{mergePatch + "; charset=utf-8", "", `{"metadata":{"labels":{"charset":"utf-8"}}}`},
}

var longFieldManager = strings.Repeat("x", 129)

func sendPatches(r *recording) {
	for _, resource := range []string{"jobs", "cronjobs"} {
		r.startScenario("patches of %s", resource)
		name := "patched"
		if resource == "jobs" {
			r.createJob(name, nil)
		} else {
			r.createCronJob(namespace, name)
		}
		for _, p := range patches {
			body := []byte(p.body)
			if resource == "cronjobs" {
				body = cronJobPatch(p.body)
			}
			resp := r.do(request{method: http.MethodPatch, path: resourcePath(resource, name) + p.query, contentType: p.contentType, body: body})
			if resp.code == http.StatusOK {
				r.recordStored(resource, name, resp)
			}
			if p.contentType == applyPatch {
				continue // the manager would conflict with itself as well, and upstream lists conflicts in random order
			}
			r.do(request{method: http.MethodPatch, path: resourcePath(resource, name, "status") + p.query, contentType: p.contentType, accept: yamlType, body: body})
		}
		r.do(request{method: http.MethodPatch, path: resourcePath(resource, "none"), contentType: mergePatch, body: []byte(`{}`)})
		r.get(resourcePath(resource, name))
	}
	r.startScenario("objects created by apply")
	for _, m := range r.readManifests("jobs.yaml") {
		path := resourcePath("jobs", m.name) + "?fieldManager=applier"
		for range 2 {
			resp := r.do(request{method: http.MethodPatch, path: path, contentType: applyPatch, body: m.content[yamlType]})
			r.recordStored("jobs", m.name, resp)
		}
	}
	r.startScenario("preconditions")
	created := r.createJob("preconditions", nil)
	uid, revision := fieldText(created.body, "metadata", "uid"), fieldText(created.body, "metadata", "resourceVersion")
	for _, body := range []string{
		`{"metadata":{"uid":"` + uid + `","resourceVersion":"` + revision + `","labels":{"first":""}}}`,
		`{"metadata":{"resourceVersion":"` + revision + `","labels":{"second":""}}}`,
		`{"metadata":{"resourceVersion":"","labels":{"third":""}}}`,
		`{"metadata":{"uid":"","labels":{"fourth":""}}}`,
	} {
		r.do(request{method: http.MethodPatch, path: resourcePath("jobs", "preconditions"), contentType: mergePatch, body: []byte(body)})
	}
}

// cronJobPatch converts a patch for Jobs to a similar one for CronJobs.
func cronJobPatch(body string) []byte {
	return []byte(strings.NewReplacer(`"kind":"Job"`, `"kind":"CronJob"`, `kind: Job`, `kind: CronJob`, `"/spec/parallelism"`, `"/spec/failedJobsHistoryLimit"`,
		`parallelism`, `successfulJobsHistoryLimit`, `{"template":{`, `{"jobTemplate":{"spec":{"template":{`).Replace(body))
}
