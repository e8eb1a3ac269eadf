// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"fmt"
	"net/http"
)

// areas are the groups of requests, in the order of each recording.
var areas = []struct {
	name string
	send func(*recording)
}{
	{"Job lifecycle", jobLifecycles},
	{"CronJob lifecycle", cronJobLifecycles},
	{"upstream test data", sendUpstreamTestData},
	{"invalid objects", sendInvalidObjects},
	{"unknown and duplicate fields", sendUnknownFields},
	{"patches", sendPatches},
	{"gated updates", sendGatedUpdates},
	{"deletion", deleteObjects},
	{"lists", listObjects},
	{"tables and metadata", readTables},
	{"watches", watchObjects},
	{"malformed requests", sendMalformedRequests},
	{"authorization, quota and namespaces", checkAuthorization},
	// Last, because the aggregator updates discovery and OpenAPI asynchronously.
	{"discovery and OpenAPI", readDocuments},
}

// resourcePath returns the path of a resource, an object or a subresource in the test namespace.
func resourcePath(resource string, name ...string) string {
	path := "/namespaces/" + namespace + "/" + resource
	for _, part := range name {
		path += "/" + part
	}
	return path
}

// createJob creates a minimal Job. If path is set, it sets the field at that path to value.
func (r *recording) createJob(name string, value any, path ...string) *response {
	body := fmt.Appendf(nil, `{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":%q},"spec":%s}`, name, specJSON)
	if len(path) > 0 {
		body = withField(body, value, path...)
	}
	return r.do(request{method: http.MethodPost, path: resourcePath("jobs"), body: body})
}

func (r *recording) createCronJob(namespace, name string) *response {
	body := fmt.Appendf(nil, `{"apiVersion":"batch/v1","kind":"CronJob","metadata":{"name":%q},"spec":{"schedule":"@yearly","jobTemplate":{"spec":%s}}}`, name, specJSON)
	return r.do(request{method: http.MethodPost, path: "/namespaces/" + namespace + "/cronjobs", body: body})
}

// The Pod template and the spec of a minimal Job.
const (
	templateJSON = `{"spec":{"restartPolicy":"Never","containers":[{"name":"main","image":"example.com/work:1"}]}}`
	specJSON     = `{"suspend":true,"template":` + templateJSON + `}`
)

// readManifests reads a file in testdata and keeps the first error in r.err.
func (r *recording) readManifests(file string) []manifest {
	found, err := readManifests(file)
	if err != nil && r.err == nil {
		r.err = err
	}
	return found
}
