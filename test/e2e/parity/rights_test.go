package parity

import "net/http"

// rights asks as who may not, or where there is no room.
func rights(r *run) {
	r.begin("a user without rights")
	r.create("guarded", nil)
	for _, path := range []string{"", "/jobs", in("jobs"), in("jobs", "guarded"), in("jobs", "guarded", "status"), in("cronjobs"), "/watch" + in("jobs"), in("jobs") + "?watch=true"} {
		r.do(request{path: path, as: nobody})
		r.do(request{path: path, as: nobody, accept: protobufType})
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		r.do(request{method: method, path: in("jobs", "guarded"), as: nobody, contentType: mergePatch, body: []byte(`{}`)})
		r.do(request{method: method, path: in("jobs"), as: nobody, body: []byte(`{}`)})
	}
	r.begin("impersonation")
	for _, header := range []map[string]string{
		{"Impersonate-User": nobody}, {"Impersonate-User": "x", "Impersonate-Group": "system:masters"}, {"Impersonate-Group": "system:masters"},
	} {
		r.do(request{path: in("jobs", "guarded"), header: header})
		r.do(request{method: http.MethodPatch, path: in("jobs", "guarded"), contentType: mergePatch, header: header, body: []byte(`{}`)})
		r.do(request{path: in("jobs", "guarded"), as: nobody, header: header})
	}
	r.begin("headers that only the front proxy may send")
	r.do(request{path: in("jobs", "guarded"), as: nobody, header: map[string]string{"X-Remote-User": "admin", "X-Remote-Group": "system:masters"}})
	r.begin("a token that nobody gave")
	r.do(request{path: in("jobs", "guarded"), as: anonymous, header: map[string]string{"Authorization": "Bearer odd"}})
	r.do(request{path: in("jobs", "guarded"), as: anonymous})
	r.begin("namespaces")
	for _, ns := range []string{"none", leaving, full, restricted, namespace} {
		for _, resource := range []string{"jobs", "cronjobs"} {
			body := []byte(`{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"placed"},"spec":` + specJSON + `}`)
			if resource == "cronjobs" {
				body = []byte(`{"apiVersion":"batch/v1","kind":"CronJob","metadata":{"name":"placed"},"spec":{"schedule":"@yearly","jobTemplate":{"spec":` + specJSON + `}}}`)
			}
			path := "/namespaces/" + ns + "/" + resource
			r.do(request{method: http.MethodPost, path: path + "?dryRun=All", body: body})
			r.do(request{method: http.MethodPost, path: path, body: body})
			r.do(request{method: http.MethodPatch, path: path + "/applied?fieldManager=a", contentType: applyPatch, body: changed(body, "applied", "metadata", "name")})
			r.do(request{method: http.MethodPut, path: path + "/placed", body: body, differs: putOfManifest(ns, resource)})
			r.get(path + "/placed")
		}
	}
}

// putOfManifest returns the gate where a Job is there to be put: its manifest lacks the labels
// that the template has got.
func putOfManifest(ns, resource string) *difference {
	if resource == "jobs" && (ns == restricted || ns == namespace) {
		return refused
	}
	return nil
}
