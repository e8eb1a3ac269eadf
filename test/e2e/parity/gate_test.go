// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package parity

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"
)

// gatedChange is a change for which the two servers make different decisions.
type gatedChange struct {
	title      string
	difference *difference
	patch      string // a merge patch
	warning    string // see request.warning
	// create creates the Job with the given name; nil for a minimal one.
	create func(*recording, string) *response
}

const statusTitle = "status through the main resource"

var gatedChanges = []gatedChange{
	{title: "annotation", difference: deniedByGate, patch: `{"metadata":{"annotations":{"a":"b"}}}`},
	{title: "finalizer", difference: deniedByGate, patch: `{"metadata":{"finalizers":["example.com/hold"]}}`},
	{title: "owner reference", difference: deniedByGate, patch: `{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"Pod","name":"a","uid":"b"}]}}`},
	{title: "label and annotation", difference: deniedByGate, patch: `{"metadata":{"labels":{"a":"b"},"annotations":{"a":"b"}}}`},
	{title: "suspend", difference: deniedByGate, patch: `{"spec":{"suspend":false}}`},
	{title: "activeDeadlineSeconds", difference: deniedByGate, patch: `{"spec":{"activeDeadlineSeconds":100}}`},
	{title: "backoffLimit", difference: deniedByGate, patch: `{"spec":{"backoffLimit":1}}`},
	{title: "ttlSecondsAfterFinished", difference: deniedByGate, patch: `{"spec":{"ttlSecondsAfterFinished":100}}`},
	{title: "podReplacementPolicy", difference: deniedByGate, patch: `{"spec":{"podReplacementPolicy":"Failed"}}`},
	{title: "managedBy", difference: deniedByGate, patch: `{"spec":{"managedBy":"example.com/other"}}`},
	{title: "completionMode", difference: deniedByGate, patch: `{"spec":{"completionMode":"Indexed"}}`},
	{title: "manualSelector", difference: deniedByGate, patch: `{"spec":{"manualSelector":true}}`},
	{title: "template node selector of a suspended Job", difference: deniedByGate, patch: `{"spec":{"template":{"spec":{"nodeSelector":{"a":"b"}}}}}`},
	{title: "template image", difference: deniedByGate, patch: `{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"example.com/work:2"}]}}}}`},
	{title: "template labels", difference: deniedByGate, patch: `{"spec":{"template":{"metadata":{"labels":{"a":"b"}}}}}`},
	{title: "backoffLimit, invalid value", difference: deniedByGate, patch: `{"spec":{"backoffLimit":-1}}`},
	{title: "completions", difference: allowedByGate, patch: `{"spec":{"completions":5}}`},
	{title: "completions removed", difference: allowedByGate, patch: `{"spec":{"completions":null,"parallelism":2}}`},
	{title: "selector of a Job with manualSelector", difference: allowedByGate, patch: `{"spec":{"selector":{"matchLabels":{"app":"a","tier":"one"}}}}`, create: (*recording).createJobWithSelector},
	{title: "creationTimestamp", difference: ignoredFieldWarning, patch: `{"metadata":{"creationTimestamp":"2004-01-01T00:00:00Z"}}`, warning: "metadata.creationTimestamp: ignored: it is set by the server"},
	{title: "selfLink", difference: selfLinkUpdate, patch: `{"metadata":{"selfLink":"/somewhere/else"}}`, warning: "metadata.selfLink: ignored: it is set by the server"},
	{title: statusTitle, difference: ignoredFieldWarning, patch: `{"status":{"active":7}}`, warning: "status: ignored: update it through the status subresource"},
	{title: "uid", difference: uidConflict, patch: `{"metadata":{"uid":"another"}}`},
}

// createJobWithSelector creates a Job with manualSelector.
func (r *recording) createJobWithSelector(name string) *response {
	return r.createJob(name, fromJSON(`{"suspend":true,"manualSelector":true,"selector":{"matchLabels":{"app":"a"}},"template":`+
		strings.Replace(templateJSON, "{", `{"metadata":{"labels":{"app":"a","tier":"one"}},`, 1)+`}`), "spec")
}

// sendGatedUpdates sends each change to a new Job: as dry runs of two patch types, as a real update, and
// as a dry run through the status subresource.
func sendGatedUpdates(r *recording) {
	for i, c := range gatedChanges {
		r.startScenario("%s", c.title)
		name := fmt.Sprintf("gate-%d", i)
		if c.create == nil {
			c.create = func(r *recording, name string) *response { return r.createJob(name, nil) }
		}
		created := c.create(r, name)
		send := func(req request) *response {
			req.method, req.contentType, req.body, req.difference = http.MethodPatch, cmp.Or(req.contentType, mergePatch), []byte(c.patch), c.difference
			req.warning = c.warning
			return r.do(req)
		}
		send(request{path: resourcePath("jobs", name) + "?dryRun=All"})
		send(request{path: resourcePath("jobs", name) + "?dryRun=All&fieldValidation=Strict", contentType: strategicPatch})
		r.recordStored("jobs", name, created)
		updated := send(request{path: resourcePath("jobs", name), title: c.title})
		if c.difference.wholeResponse {
			r.recordStoredDifference(c.difference, "jobs", name, updated)
			r.deleteFromEtcd("jobs", name)
		} else {
			r.recordStored("jobs", name, updated)
		}
	}
	r.startScenario("field removed by apply")
	manifest := []byte(`{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"gate-apply"},"spec":` + specJSON + `}`)
	apply := request{method: http.MethodPatch, path: resourcePath("jobs", "gate-apply") + "?fieldManager=a", contentType: applyPatch, body: manifest}
	r.recordStored("jobs", "gate-apply", r.do(apply))
	apply.body, apply.title, apply.difference = withField(manifest, nil, "spec", "suspend"), "suspend, removed by apply", deniedByGate
	r.recordStoredDifference(deniedByGate, "jobs", "gate-apply", r.do(apply))
	r.deleteFromEtcd("jobs", "gate-apply")
	r.startScenario("status subresource")
	r.createJob("gate-status", nil)
	for _, c := range gatedChanges {
		req := request{method: http.MethodPatch, path: resourcePath("jobs", "gate-status", "status") + "?dryRun=All", contentType: mergePatch, body: []byte(c.patch)}
		// The status subresource ignores changes of spec and allows changes of status, as upstream's does.
		if c.title != statusTitle && !strings.Contains(c.patch, `"spec"`) {
			req.difference, req.warning = c.difference, c.warning
		}
		r.do(req)
	}
	r.get(resourcePath("jobs", "gate-status"))
}
