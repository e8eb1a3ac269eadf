// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"

	"k8s.io/apimachinery/pkg/types"
)

const mergePatch = string(types.MergePatchType)

// request is what a client sends, with the status code that it expects.
type request struct {
	method, path, contentType string
	body                      []byte
	code                      int
}

// operation is a kind of request to measure.
type operation struct {
	name string
	// next returns a request for a Job of the arm. n is another number for each request.
	next func(a *arm, job string, n int64) request
	// stored is set if each request must write to etcd.
	stored bool
	// gatedOnly is set if only gated arms return the expected status.
	gatedOnly bool
	// watched is set if the latency is the time until a watch of the Job has the update.
	watched bool
}

func patchOf(body string) func(*arm, string, int64) request {
	return func(a *arm, job string, n int64) request {
		return request{http.MethodPatch, a.jobs() + "/" + job, mergePatch, fmt.Appendf(nil, body, n), http.StatusOK}
	}
}

// operations returns all operations. A patch that changes nothing is not stored, so each has another
// value.
func operations() []operation {
	manifest, err := json.Marshal(newJob(""))
	if err != nil {
		panic(err) // a Job can always be encoded
	}
	patch := patchOf(`{"spec": {"parallelism": %d}}`)
	return []operation{
		{name: "patch", stored: true, next: patch},
		{name: "status patch", stored: true, next: func(a *arm, job string, n int64) request {
			r := patchOf(`{"status": {"active": %d}}`)(a, job, n)
			r.path += "/status"
			return r
		}},
		{name: "denied patch", gatedOnly: true, next: func(a *arm, job string, n int64) request {
			r := patchOf(`{"metadata": {"annotations": {"at": "%d"}}}`)(a, job, n)
			r.code = http.StatusUnprocessableEntity
			return r
		}},
		{name: "granted patch", stored: true, next: patchOf(`{"metadata": {"annotations": {"at": "%d"}}}`)},
		{name: "create", stored: true, next: func(a *arm, _ string, n int64) request {
			body := slices.Concat([]byte(`{"metadata": {"name": "`), fmt.Appendf(nil, "new-%d", n), []byte(`",`), manifest[len(`{"metadata":{`):])
			return request{http.MethodPost, a.jobs(), "application/json", body, http.StatusCreated}
		}},
		{name: "get", next: func(a *arm, job string, _ int64) request {
			return request{method: http.MethodGet, path: a.jobs() + "/" + job, code: http.StatusOK}
		}},
		{name: "list of 100", next: func(a *arm, _ string, _ int64) request {
			return request{method: http.MethodGet, path: a.jobs() + "?limit=100&labelSelector=app%3Dreport", code: http.StatusOK}
		}},
		{name: "watched patch", stored: true, watched: true, next: patch},
	}
}

func operationNamed(name string) operation {
	all := operations()
	i := slices.IndexFunc(all, func(o operation) bool { return o.name == name })
	if i < 0 {
		panic("no operation " + name)
	}
	return all[i]
}

// measurement is an operation with a load.
type measurement struct {
	Operation string
	User      string // admin or withRole
	// Clients send one request at a time each.
	Clients int
	// Rate is the number of requests per second of all clients. With 0 each client sends the next
	// request after the response.
	Rate float64
	// Watches is the number of watches of all Jobs of each arm.
	Watches int
}

// String describes the measurement.
func (m measurement) String() string {
	text := m.Operation + ", " + count(m.Clients, "client", "clients")
	if m.Rate > 0 {
		text = fmt.Sprintf("%s, %g per second", m.Operation, m.Rate)
	}
	if m.Watches > 0 {
		text += ", " + count(m.Watches, "watch", "watches")
	}
	if m.User == admin {
		text += ", admin"
	}
	return text
}

// measurements are what the part "requests" measures, with all arms that support it.
var measurements = []measurement{
	patches,
	steadyPatches,
	{Operation: "patch", User: withRole, Clients: 1},
	{Operation: "patch", User: admin, Clients: 16},
	{Operation: "status patch", User: withRole, Clients: 16},
	{Operation: "denied patch", User: withRole, Clients: 16},
	{Operation: "create", User: withRole, Clients: 16},
	gets,
	{Operation: "get", User: withRole, Clients: 16, Rate: 100},
	{Operation: "list of 100", User: withRole, Clients: 16},
	{Operation: "watched patch", User: withRole, Clients: 1},
	{Operation: "patch", User: withRole, Clients: 4, Watches: 1000},
}
