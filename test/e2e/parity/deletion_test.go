package parity

import (
	"fmt"
	"net/http"
	"strings"
)

// remove deletes in every way. Without a garbage collector what waits for it stays.
func remove(r *run) {
	for _, resource := range []string{"jobs", "cronjobs"} {
		for i, way := range []struct{ query, body string }{
			{query: "?dryRun=All"},
			{query: "?propagationPolicy=Background"},
			{query: "?propagationPolicy=Foreground"},
			{query: "?propagationPolicy=Orphan"},
			{query: "?propagationPolicy=Odd"},
			{query: "?orphanDependents=true"},
			{query: "?orphanDependents=true&propagationPolicy=Orphan"},
			{query: "?gracePeriodSeconds=0"},
			{query: "?gracePeriodSeconds=-5"},
			{query: "?gracePeriodSeconds=many"},
			{body: `{"kind":"DeleteOptions","apiVersion":"batch/v1","propagationPolicy":"Foreground"}`},
			{body: `{"kind":"DeleteOptions","apiVersion":"v1","propagationPolicy":"Orphan","dryRun":["All"]}`},
			{body: `{"preconditions":{"uid":"another"}}`},
			{body: `{"preconditions":{"resourceVersion":"1"}}`},
			{body: `{"kind":"DeleteOptions","apiVersion":"v2"}`},
			{body: `{"kind":"Job","apiVersion":"batch/v1"}`},
			{body: `{"propagationPolicy":1}`},
			{body: `{`},
			{query: "?ignoreStoreReadErrorWithClusterBreakingPotential=true"},
		} {
			name := fmt.Sprintf("%s-%d", strings.TrimSuffix(resource, "s"), i)
			r.begin("%s %s%s", resource, way.query, way.body)
			if resource == "jobs" {
				r.create(name, []any{"example.com/hold"}[:i%2], "metadata", "finalizers")
			} else {
				r.createCronJob(namespace, name)
			}
			deleted := r.do(request{method: http.MethodDelete, path: in(resource, name) + way.query, body: nilIfEmpty(way.body)})
			r.stored(resource, name, deleted)
			r.do(request{path: in(resource, name), accept: yamlType})
			r.do(request{method: http.MethodDelete, path: in(resource, name) + way.query, accept: protobufType, body: nilIfEmpty(way.body)})
		}
		r.begin("collections of %s", resource)
		const collected = 4
		collect := func(req request) {
			r.do(req)
			r.get(in(resource) + "?labelSelector=collect")
			for i := range collected {
				name := fmt.Sprint("collected-", i)
				r.stored(resource, name, r.get(in(resource, name)))
			}
		}
		for i := range collected {
			label := fmt.Sprintf(`{"collect":"%d"}`, i%2)
			name := fmt.Sprint("collected-", i)
			if resource == "jobs" {
				r.create(name, fromJSON(label), "metadata", "labels")
			} else {
				r.createCronJob(namespace, name)
				r.do(request{method: http.MethodPatch, path: in(resource, name), contentType: mergePatch, body: []byte(`{"metadata":{"labels":` + label + `}}`)})
			}
		}
		for _, query := range []string{
			"?labelSelector=collect=0&dryRun=All", "?labelSelector=collect=0&propagationPolicy=Foreground", "?labelSelector=collect=1&limit=1",
			"?labelSelector=collect", "?fieldSelector=metadata.name=none", "?labelSelector=a%20b", "?labelSelector=collect&propagationPolicy=Odd",
		} {
			collect(request{method: http.MethodDelete, path: in(resource) + query})
		}
		collect(request{method: http.MethodDelete, path: in(resource) + "?labelSelector=collect=9", body: []byte(`{"preconditions":{"uid":"another"}}`)})
		collect(request{method: http.MethodDelete, path: "/" + resource})
	}
}

func nilIfEmpty(body string) []byte {
	if body == "" {
		return nil
	}
	return []byte(body)
}
