package parity

import (
	"net/http"
	"strings"
)

// The patches of this table are allowed, or wrong by upstream's rules.
var patches = []struct{ contentType, query, body string }{
	{mergePatch, "", `{}`},
	{mergePatch, "", `{"metadata":{"labels":{"a":"b","c":"d"}}}`},
	{mergePatch, "", `{"metadata":{"labels":{"a":null}}}`},
	{mergePatch, "?dryRun=All", `{"spec":{"parallelism":7}}`},
	// Upstream sorts managers by the second of their last write, then by name: this one comes after
	// the one before it by name as well, whether a second begins between them or not.
	{mergePatch, "?fieldManager=surface-merger", `{"spec":{"parallelism":3}}`},
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
	{mergePatch, "?fieldManager=" + longText, `{}`},
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

var longText = strings.Repeat("x", 129)

func patch(r *run) {
	for _, resource := range []string{"jobs", "cronjobs"} {
		r.begin("patches of %s", resource)
		name := "patched"
		if resource == "jobs" {
			r.create(name, nil)
		} else {
			r.createCronJob(namespace, name)
		}
		for _, p := range patches {
			body := []byte(p.body)
			if resource == "cronjobs" {
				body = asCronJob(p.body)
			}
			last := r.do(request{method: http.MethodPatch, path: in(resource, name) + p.query, contentType: p.contentType, body: body})
			if last.code == http.StatusOK {
				r.stored(resource, name, last)
			}
			if p.contentType == applyPatch {
				continue // a manager would be in conflict with itself too, and named in any order
			}
			r.do(request{method: http.MethodPatch, path: in(resource, name, "status") + p.query, contentType: p.contentType, accept: yamlType, body: body})
		}
		r.do(request{method: http.MethodPatch, path: in(resource, "none"), contentType: mergePatch, body: []byte(`{}`)})
		r.get(in(resource, name))
	}
	r.begin("what apply makes")
	for _, m := range r.manifests("jobs.yaml") {
		path := in("jobs", m.name) + "?fieldManager=applier"
		for range 2 {
			last := r.do(request{method: http.MethodPatch, path: path, contentType: applyPatch, body: m.content[yamlType]})
			r.stored("jobs", m.name, last)
		}
	}
	r.begin("preconditions")
	created := r.create("preconditions", nil)
	uid, revision := field(created.body, "metadata", "uid"), field(created.body, "metadata", "resourceVersion")
	for _, body := range []string{
		`{"metadata":{"uid":"` + uid + `","resourceVersion":"` + revision + `","labels":{"first":""}}}`,
		`{"metadata":{"resourceVersion":"` + revision + `","labels":{"second":""}}}`,
		`{"metadata":{"resourceVersion":"","labels":{"third":""}}}`,
		`{"metadata":{"uid":"","labels":{"fourth":""}}}`,
	} {
		r.do(request{method: http.MethodPatch, path: in("jobs", "preconditions"), contentType: mergePatch, body: []byte(body)})
	}
}

// asCronJob makes a patch of a Job one of a CronJob, as far as that makes sense.
func asCronJob(body string) []byte {
	return []byte(strings.NewReplacer(`"kind":"Job"`, `"kind":"CronJob"`, `kind: Job`, `kind: CronJob`, `"/spec/parallelism"`, `"/spec/failedJobsHistoryLimit"`,
		`parallelism`, `successfulJobsHistoryLimit`, `{"template":{`, `{"jobTemplate":{"spec":{"template":{`).Replace(body))
}
