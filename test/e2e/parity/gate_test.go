package parity

import (
	"fmt"
	"net/http"
	"strings"
)

// change is one that the servers decide differently, as a merge patch.
type change struct {
	what    string
	differs *difference
	patch   string
	// warning is what Batchgate warns of, where that is the difference.
	warning string
	// of is what the Job has that the change needs.
	of func(*run, string) *answer
}

var changes = []change{
	{what: "an annotation", differs: refused, patch: `{"metadata":{"annotations":{"a":"b"}}}`},
	{what: "a finalizer", differs: refused, patch: `{"metadata":{"finalizers":["example.com/hold"]}}`},
	{what: "an owner", differs: refused, patch: `{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Pod","name":"a","uid":"b"}]}}`},
	{what: "a label and an annotation", differs: refused, patch: `{"metadata":{"labels":{"a":"b"},"annotations":{"a":"b"}}}`},
	{what: "suspend", differs: refused, patch: `{"spec":{"suspend":false}}`},
	{what: "activeDeadlineSeconds", differs: refused, patch: `{"spec":{"activeDeadlineSeconds":100}}`},
	{what: "backoffLimit", differs: refused, patch: `{"spec":{"backoffLimit":1}}`},
	{what: "ttlSecondsAfterFinished", differs: refused, patch: `{"spec":{"ttlSecondsAfterFinished":100}}`},
	{what: "podReplacementPolicy", differs: refused, patch: `{"spec":{"podReplacementPolicy":"Failed"}}`},
	{what: "managedBy", differs: refused, patch: `{"spec":{"managedBy":"example.com/other"}}`},
	{what: "completionMode", differs: refused, patch: `{"spec":{"completionMode":"Indexed"}}`},
	{what: "manualSelector", differs: refused, patch: `{"spec":{"manualSelector":true}}`},
	{what: "the node selector of the template of a suspended Job", differs: refused, patch: `{"spec":{"template":{"spec":{"nodeSelector":{"a":"b"}}}}}`},
	{what: "an image of the template", differs: refused, patch: `{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"example.com/work:2"}]}}}}`},
	{what: "labels of the template", differs: refused, patch: `{"spec":{"template":{"metadata":{"labels":{"a":"b"}}}}}`},
	{what: "backoffLimit, to something invalid", differs: refused, patch: `{"spec":{"backoffLimit":-1}}`},
	{what: "completions", differs: allowed, patch: `{"spec":{"completions":5}}`},
	{what: "no completions", differs: allowed, patch: `{"spec":{"completions":null,"parallelism":2}}`},
	{what: "the selector of a Job with manualSelector", differs: allowed, patch: `{"spec":{"selector":{"matchLabels":{"app":"a","tier":"one"}}}}`, of: (*run).createSelecting},
	{what: "creationTimestamp", differs: warned, patch: `{"metadata":{"creationTimestamp":"2004-01-01T00:00:00Z"}}`, warning: "metadata.creationTimestamp: ignored: it is set by the server"},
	{what: "selfLink", differs: otherSelfLink, patch: `{"metadata":{"selfLink":"/somewhere/else"}}`, warning: "metadata.selfLink: ignored: it is set by the server"},
	{what: "status of the main resource", differs: warned, patch: `{"status":{"active":7}}`, warning: "status: ignored: update it through the status subresource"},
	{what: "uid", differs: otherUID, patch: `{"metadata":{"uid":"another"}}`},
}

// createSelecting creates a Job that says itself what it selects.
func (r *run) createSelecting(name string) *answer {
	return r.create(name, fromJSON(`{"suspend":true,"manualSelector":true,"selector":{"matchLabels":{"app":"a"}},"template":`+
		strings.Replace(templateJSON, "{", `{"metadata":{"labels":{"app":"a","tier":"one"}},`, 1)+`}`), "spec")
}

// gate sends the changes, each to a Job of its own: by a dry run, a patch in another encoding,
// and by what changes it.
func gate(r *run) {
	for i, c := range changes {
		r.begin("%s", c.what)
		name := fmt.Sprintf("gate-%d", i)
		if c.of == nil {
			c.of = func(r *run, name string) *answer { return r.create(name, nil) }
		}
		created := c.of(r, name)
		send := func(req request) *answer {
			req.method, req.contentType, req.body, req.differs = http.MethodPatch, or(req.contentType, mergePatch), []byte(c.patch), c.differs
			req.warning = c.warning
			return r.do(req)
		}
		send(request{path: in("jobs", name) + "?dryRun=All"})
		send(request{path: in("jobs", name) + "?dryRun=All&fieldValidation=Strict", contentType: strategicPatch})
		r.stored("jobs", name, created)
		updated := send(request{path: in("jobs", name), what: c.what})
		if c.differs.another {
			r.storedAs(c.differs, "jobs", name, updated)
			r.forget("jobs", name)
		} else {
			r.stored("jobs", name, updated)
		}
	}
	r.begin("applied, and then not")
	manifest := []byte(`{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"gate-apply"},"spec":` + specJSON + `}`)
	apply := request{method: http.MethodPatch, path: in("jobs", "gate-apply") + "?fieldManager=a", contentType: applyPatch, body: manifest}
	r.stored("jobs", "gate-apply", r.do(apply))
	apply.body, apply.what, apply.differs = changed(manifest, nil, "spec", "suspend"), "suspend, which is applied no more", refused
	r.storedAs(refused, "jobs", "gate-apply", r.do(apply))
	r.forget("jobs", "gate-apply")
	r.begin("through status")
	r.create("gate-status", nil)
	for _, c := range changes {
		if !strings.Contains(c.patch, `"spec"`) && c.what != "status of the main resource" {
			r.do(request{method: http.MethodPatch, path: in("jobs", "gate-status", "status") + "?dryRun=All", contentType: mergePatch, body: []byte(c.patch), differs: c.differs, warning: c.warning})
		} else {
			r.do(request{method: http.MethodPatch, path: in("jobs", "gate-status", "status") + "?dryRun=All", contentType: mergePatch, body: []byte(c.patch)})
		}
	}
	r.get(in("jobs", "gate-status"))
}
