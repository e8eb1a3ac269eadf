// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"fmt"
	"net/http"
	"strings"
)

// deleteObjects deletes objects and collections with all options. Objects that wait for the garbage
// collector stay, because it does not run.
func deleteObjects(r *recording) {
	for _, resource := range []string{"jobs", "cronjobs"} {
		for i, options := range []struct{ query, body string }{
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
			r.startScenario("%s %s%s", resource, options.query, options.body)
			if resource == "jobs" {
				r.createJob(name, []any{"example.com/hold"}[:i%2], "metadata", "finalizers")
			} else {
				r.createCronJob(namespace, name)
			}
			deleted := r.do(request{method: http.MethodDelete, path: resourcePath(resource, name) + options.query, body: nilIfEmpty(options.body)})
			r.recordStored(resource, name, deleted)
			r.do(request{path: resourcePath(resource, name), accept: yamlType})
			r.do(request{method: http.MethodDelete, path: resourcePath(resource, name) + options.query, accept: protobufType, body: nilIfEmpty(options.body)})
		}
		r.startScenario("collections of %s", resource)
		const objects = 4
		deleteCollection := func(req request) {
			r.do(req)
			r.get(resourcePath(resource) + "?labelSelector=collect")
			for i := range objects {
				name := fmt.Sprint("collected-", i)
				r.recordStored(resource, name, r.get(resourcePath(resource, name)))
			}
		}
		for i := range objects {
			label := fmt.Sprintf(`{"collect":"%d"}`, i%2)
			name := fmt.Sprint("collected-", i)
			if resource == "jobs" {
				r.createJob(name, fromJSON(label), "metadata", "labels")
			} else {
				r.createCronJob(namespace, name)
				r.do(request{method: http.MethodPatch, path: resourcePath(resource, name), contentType: mergePatch, body: []byte(`{"metadata":{"labels":` + label + `}}`)})
			}
		}
		for _, query := range []string{
			"?labelSelector=collect=0&dryRun=All", "?labelSelector=collect=0&propagationPolicy=Foreground", "?labelSelector=collect=1&limit=1",
			"?labelSelector=collect", "?fieldSelector=metadata.name=none", "?labelSelector=a%20b", "?labelSelector=collect&propagationPolicy=Odd",
		} {
			deleteCollection(request{method: http.MethodDelete, path: resourcePath(resource) + query})
		}
		deleteCollection(request{method: http.MethodDelete, path: resourcePath(resource) + "?labelSelector=collect=9", body: []byte(`{"preconditions":{"uid":"another"}}`)})
		deleteCollection(request{method: http.MethodDelete, path: "/" + resource})
	}
}

func nilIfEmpty(body string) []byte {
	if body == "" {
		return nil
	}
	return []byte(body)
}
