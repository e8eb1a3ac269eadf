package integration

import (
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	batchv1client "k8s.io/client-go/kubernetes/typed/batch/v1"
)

// kind is a kind of update. Each can say every change of a Job, so that one table of
// changes, written as JSON Patches, tests them all.
type kind struct {
	name string
	// body returns the request's body for the change of a Job from before to after.
	body func(t testing.TB, patch, before, after []byte) []byte

	method, contentType string
}

var kinds = []kind{
	{"JSON patch", func(_ testing.TB, patch, _, _ []byte) []byte { return patch }, http.MethodPatch, jsonPatch},
	{"merge patch", mergeBody, http.MethodPatch, mergePatch},
	{"strategic merge patch", strategicBody, http.MethodPatch, strategicPatch},
	{"apply", applyBody, http.MethodPatch, applyPatch},
	{"PUT", func(_ testing.TB, _, _, after []byte) []byte { return after }, http.MethodPut, ""},
}

func mergeBody(t testing.TB, _, before, after []byte) []byte {
	t.Helper()
	body, err := jsonpatch.CreateMergePatch(before, after)
	if err != nil {
		t.Fatalf("making a merge patch: %v", err)
	}
	return body
}

func strategicBody(t testing.TB, _, before, after []byte) []byte {
	t.Helper()
	body, err := strategicpatch.CreateTwoWayMergePatch(before, after, batchv1.Job{})
	if err != nil {
		t.Fatalf("making a strategic merge patch: %v", err)
	}
	return body
}

// applyBody returns all that an applier would state: after, without what it only read.
func applyBody(t testing.TB, _, before, after []byte) []byte {
	t.Helper()
	var old, job map[string]any
	for content, into := range map[string]*map[string]any{string(before): &old, string(after): &job} {
		if err := json.Unmarshal([]byte(content), into); err != nil {
			t.Fatalf("reading a Job: %v", err)
		}
	}
	read, stated := old["metadata"].(map[string]any), job["metadata"].(map[string]any)
	for _, field := range []string{"creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid"} {
		if reflect.DeepEqual(read[field], stated[field]) {
			delete(stated, field)
		}
	}
	if reflect.DeepEqual(old["status"], job["status"]) {
		delete(job, "status")
	}
	return encode(t, job)
}

// change returns the body that makes the change, a JSON Patch, of the Job before.
func (k kind) change(t testing.TB, patch string, before []byte) []byte {
	t.Helper()
	decoded, err := jsonpatch.DecodePatch([]byte(patch))
	if err != nil {
		t.Fatalf("reading the change %s: %v", patch, err)
	}
	after, err := decoded.Apply(before)
	if err != nil {
		t.Fatalf("making the change %s: %v", patch, err)
	}
	return k.body(t, []byte(patch), before, after)
}

func (k kind) query(dryRun bool) url.Values {
	query := url.Values{}
	if dryRun {
		query.Set("dryRun", metav1.DryRunAll)
	}
	if k.contentType == applyPatch {
		query.Set("fieldManager", applier)
		query.Set("force", "true")
	}
	return query
}

// send sends the body to a Job's path.
func (k kind) send(t testing.TB, u *user, path string, body []byte, dryRun bool) *answer {
	t.Helper()
	return u.do(t, request{method: k.method, path: path, query: k.query(dryRun), contentType: k.contentType, body: body})
}

// call sends the body through client-go's typed client.
func (k kind) call(t testing.TB, jobs batchv1client.JobInterface, body []byte, dryRun bool, subresources ...string) (*batchv1.Job, error) {
	t.Helper()
	var dry []string
	if dryRun {
		dry = []string{metav1.DryRunAll}
	}
	sent := &batchv1.Job{}
	if k.contentType != jsonPatch {
		if err := json.Unmarshal(body, sent); err != nil {
			t.Fatalf("reading the body %s: %v", body, err)
		}
	}
	switch {
	case k.method == http.MethodPut && len(subresources) > 0:
		return jobs.UpdateStatus(t.Context(), sent, metav1.UpdateOptions{DryRun: dry})
	case k.method == http.MethodPut:
		return jobs.Update(t.Context(), sent, metav1.UpdateOptions{DryRun: dry})
	}
	options := metav1.PatchOptions{DryRun: dry}
	if k.contentType == applyPatch {
		force := true
		options.FieldManager, options.Force = applier, &force
	}
	return jobs.Patch(t.Context(), "pi", types.PatchType(k.contentType), body, options, subresources...)
}

// set returns the body that sets one field of the Job before, and says nothing of the
// others as far as the kind allows. The field has a dot where it is below the top level.
func (k kind) set(t testing.TB, before []byte, field string, value any) []byte {
	t.Helper()
	path := strings.Split(field, ".")
	job := map[string]any{}
	switch k.name {
	case "JSON patch":
		return encode(t, []any{map[string]any{"op": "add", "path": "/" + strings.Join(path, "/"), "value": value}})
	case "apply": // what is left out of it would be removed
		if err := json.Unmarshal(encode(t, newJob(t)), &job); err != nil {
			t.Fatalf("reading the fixture: %v", err)
		}
	case "PUT":
		if err := json.Unmarshal(before, &job); err != nil {
			t.Fatalf("reading a Job: %v", err)
		}
	}
	if err := unstructured.SetNestedField(job, value, path...); err != nil {
		t.Fatalf("setting %s: %v", field, err)
	}
	return encode(t, job)
}
