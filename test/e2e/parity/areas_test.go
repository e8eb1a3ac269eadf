package parity

import (
	"fmt"
	"net/http"
)

// areas are all that is asked, in this order.
var areas = []struct {
	name string
	ask  func(*run)
}{
	{"Jobs through their life", lifeOfJobs},
	{"CronJobs through their life", lifeOfCronJobs},
	{"upstream's testdata", createUpstream},
	{"invalid objects", createInvalid},
	{"unknown and duplicate fields", validateFields},
	{"patches", patch},
	{"updates that the gate decides", gate},
	{"deletion", remove},
	{"lists", list},
	{"tables and metadata", tables},
	{"watches", watch},
	{"requests that make no sense", nonsense},
	{"rights, quota and namespaces", rights},
	// The aggregator has had time meanwhile.
	{"discovery and OpenAPI", publish},
}

// in is the path of a resource in the namespace, and of an object of it.
func in(resource string, name ...string) string {
	path := "/namespaces/" + namespace + "/" + resource
	for _, part := range name {
		path += "/" + part
	}
	return path
}

// create creates a minimal Job with that name, with a field changed where there is a path.
func (r *run) create(name string, value any, path ...string) *answer {
	body := fmt.Appendf(nil, `{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":%q},"spec":%s}`, name, specJSON)
	if len(path) > 0 {
		body = changed(body, value, path...)
	}
	return r.do(request{method: http.MethodPost, path: in("jobs"), body: body})
}

// createCronJob creates a minimal CronJob.
func (r *run) createCronJob(namespace, name string) *answer {
	body := fmt.Appendf(nil, `{"apiVersion":"batch/v1","kind":"CronJob","metadata":{"name":%q},"spec":{"schedule":"@yearly","jobTemplate":{"spec":%s}}}`, name, specJSON)
	return r.do(request{method: http.MethodPost, path: "/namespaces/" + namespace + "/cronjobs", body: body})
}

// What a minimal Job has.
const (
	templateJSON = `{"spec":{"restartPolicy":"Never","containers":[{"name":"main","image":"example.com/work:1"}]}}`
	specJSON     = `{"suspend":true,"template":` + templateJSON + `}`
)

// manifests reads a file of testdata.
func (r *run) manifests(file string) []manifest {
	found, err := readManifests(file)
	if err != nil && r.err == nil {
		r.err = err
	}
	return found
}
