// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package parity

import "net/http"

// checkAuthorization sends requests without permissions, and to namespaces that restrict new objects.
func checkAuthorization(r *recording) {
	r.startScenario("unprivileged user")
	r.createJob("guarded", nil)
	for _, path := range []string{"", "/jobs", resourcePath("jobs"), resourcePath("jobs", "guarded"), resourcePath("jobs", "guarded", "status"), resourcePath("cronjobs"), "/watch" + resourcePath("jobs"), resourcePath("jobs") + "?watch=true"} {
		r.do(request{path: path, user: unprivileged})
		r.do(request{path: path, user: unprivileged, accept: protobufType})
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		r.do(request{method: method, path: resourcePath("jobs", "guarded"), user: unprivileged, contentType: mergePatch, body: []byte(`{}`)})
		r.do(request{method: method, path: resourcePath("jobs"), user: unprivileged, body: []byte(`{}`)})
	}
	r.startScenario("impersonation")
	for _, header := range []map[string]string{
		{"Impersonate-User": unprivileged}, {"Impersonate-User": "x", "Impersonate-Group": "system:masters"}, {"Impersonate-Group": "system:masters"},
	} {
		r.do(request{path: resourcePath("jobs", "guarded"), header: header})
		r.do(request{method: http.MethodPatch, path: resourcePath("jobs", "guarded"), contentType: mergePatch, header: header, body: []byte(`{}`)})
		r.do(request{path: resourcePath("jobs", "guarded"), user: unprivileged, header: header})
	}
	r.startScenario("front proxy headers from a client")
	r.do(request{path: resourcePath("jobs", "guarded"), user: unprivileged, header: map[string]string{"X-Remote-User": "admin", "X-Remote-Group": "system:masters"}})
	r.startScenario("invalid token")
	r.do(request{path: resourcePath("jobs", "guarded"), user: anonymous, header: map[string]string{"Authorization": "Bearer odd"}})
	r.do(request{path: resourcePath("jobs", "guarded"), user: anonymous})
	r.startScenario("namespaces")
	for _, ns := range []string{"none", terminatingNamespace, quotaNamespace, podSecurityNamespace, namespace} {
		for _, resource := range []string{"jobs", "cronjobs"} {
			body := []byte(`{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"placed"},"spec":` + specJSON + `}`)
			if resource == "cronjobs" {
				body = []byte(`{"apiVersion":"batch/v1","kind":"CronJob","metadata":{"name":"placed"},"spec":{"schedule":"@yearly","jobTemplate":{"spec":` + specJSON + `}}}`)
			}
			path := "/namespaces/" + ns + "/" + resource
			r.do(request{method: http.MethodPost, path: path + "?dryRun=All", body: body})
			r.do(request{method: http.MethodPost, path: path, body: body})
			r.do(request{method: http.MethodPatch, path: path + "/applied?fieldManager=a", contentType: applyPatch, body: withField(body, "applied", "metadata", "name")})
			r.do(request{method: http.MethodPut, path: path + "/placed", body: body, difference: manifestPutDifference(ns, resource)})
			r.get(path + "/placed")
		}
	}
}

// manifestPutDifference returns the expected difference of a PUT of the manifest to an existing Job. The
// manifest lacks the generated labels of the stored template, and the gate denies their removal.
func manifestPutDifference(ns, resource string) *difference {
	if resource == "jobs" && (ns == podSecurityNamespace || ns == namespace) {
		return deniedByGate
	}
	return nil
}
