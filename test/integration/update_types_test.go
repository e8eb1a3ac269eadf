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
type updateType struct {
	name string
	// body returns the request's body for the change of a Job from before to after.
	body func(t testing.TB, patch, original, after []byte) []byte

	method, contentType string
}

var updateTypes = []updateType{
	{"JSON patch", func(_ testing.TB, patch, _, _ []byte) []byte { return patch }, http.MethodPatch, jsonPatch},
	{"merge patch", mergeBody, http.MethodPatch, mergePatch},
	{"strategic merge patch", strategicBody, http.MethodPatch, strategicPatch},
	{"apply", applyBody, http.MethodPatch, applyPatch},
	{"PUT", func(_ testing.TB, _, _, after []byte) []byte { return after }, http.MethodPut, ""},
}

func mergeBody(t testing.TB, _, original, after []byte) []byte {
	t.Helper()
	body, err := jsonpatch.CreateMergePatch(original, after)
	if err != nil {
		t.Fatalf("making a merge patch: %v", err)
	}
	return body
}

func strategicBody(t testing.TB, _, original, after []byte) []byte {
	t.Helper()
	body, err := strategicpatch.CreateTwoWayMergePatch(original, after, batchv1.Job{})
	if err != nil {
		t.Fatalf("making a strategic merge patch: %v", err)
	}
	return body
}

// applyBody returns all that an applier would state: after, without what it only read.
func applyBody(t testing.TB, _, original, after []byte) []byte {
	t.Helper()
	var old, job map[string]any
	for content, into := range map[string]*map[string]any{string(original): &old, string(after): &job} {
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
func (update updateType) bodyFor(t testing.TB, patch string, original []byte) []byte {
	t.Helper()
	decoded, err := jsonpatch.DecodePatch([]byte(patch))
	if err != nil {
		t.Fatalf("reading the change %s: %v", patch, err)
	}
	after, err := decoded.Apply(original)
	if err != nil {
		t.Fatalf("making the change %s: %v", patch, err)
	}
	return update.body(t, []byte(patch), original, after)
}

func (update updateType) query(dryRun bool) url.Values {
	query := url.Values{}
	if dryRun {
		query.Set("dryRun", metav1.DryRunAll)
	}
	if update.contentType == applyPatch {
		query.Set("fieldManager", applier)
		query.Set("force", "true")
	}
	return query
}

// send sends the body to a Job's path.
func (update updateType) send(t testing.TB, u *user, path string, body []byte, dryRun bool) *response {
	t.Helper()
	return u.do(t, request{method: update.method, path: path, query: update.query(dryRun), contentType: update.contentType, body: body})
}

// call sends the body through client-go's typed client.
func (update updateType) sendTyped(t testing.TB, jobs batchv1client.JobInterface, body []byte, dryRun bool, subresources ...string) (*batchv1.Job, error) {
	t.Helper()
	var dry []string
	if dryRun {
		dry = []string{metav1.DryRunAll}
	}
	sent := &batchv1.Job{}
	if update.contentType != jsonPatch {
		if err := json.Unmarshal(body, sent); err != nil {
			t.Fatalf("reading the body %s: %v", body, err)
		}
	}
	switch {
	case update.method == http.MethodPut && len(subresources) > 0:
		return jobs.UpdateStatus(t.Context(), sent, metav1.UpdateOptions{DryRun: dry})
	case update.method == http.MethodPut:
		return jobs.Update(t.Context(), sent, metav1.UpdateOptions{DryRun: dry})
	}
	options := metav1.PatchOptions{DryRun: dry}
	if update.contentType == applyPatch {
		force := true
		options.FieldManager, options.Force = applier, &force
	}
	return jobs.Patch(t.Context(), "pi", types.PatchType(update.contentType), body, options, subresources...)
}

// set returns the body that sets one field of the Job before, and says nothing of the
// others as far as the kind allows. The field has a dot where it is below the top level.
func (update updateType) bodySetting(t testing.TB, original []byte, field string, value any) []byte {
	t.Helper()
	path := strings.Split(field, ".")
	job := map[string]any{}
	switch update.name {
	case "JSON patch":
		return encode(t, []any{map[string]any{"op": "add", "path": "/" + strings.Join(path, "/"), "value": value}})
	case "apply": // what is left out of it would be removed
		if err := json.Unmarshal(encode(t, newJob(t)), &job); err != nil {
			t.Fatalf("reading the fixture: %v", err)
		}
	case "PUT":
		if err := json.Unmarshal(original, &job); err != nil {
			t.Fatalf("reading a Job: %v", err)
		}
	}
	if err := unstructured.SetNestedField(job, value, path...); err != nil {
		t.Fatalf("setting %s: %v", field, err)
	}
	return encode(t, job)
}
