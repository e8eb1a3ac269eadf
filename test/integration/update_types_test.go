// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

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

// updateType is a way to update a Job: one of the four patch types, or PUT. bodyFor converts a
// JSON Patch to each of them, so one table of changes tests all update types.
type updateType struct {
	name string
	// body returns the request body that changes a Job from original to changed. patch is the
	// same change as a JSON Patch.
	body func(t testing.TB, patch, original, changed []byte) []byte

	method, contentType string
}

var updateTypes = []updateType{
	{"JSON patch", func(_ testing.TB, patch, _, _ []byte) []byte { return patch }, http.MethodPatch, jsonPatch},
	{"merge patch", mergeBody, http.MethodPatch, mergePatch},
	{"strategic merge patch", strategicBody, http.MethodPatch, strategicPatch},
	{"apply", applyBody, http.MethodPatch, applyPatch},
	{"PUT", func(_ testing.TB, _, _, changed []byte) []byte { return changed }, http.MethodPut, ""},
}

func mergeBody(t testing.TB, _, original, changed []byte) []byte {
	t.Helper()
	body, err := jsonpatch.CreateMergePatch(original, changed)
	if err != nil {
		t.Fatalf("creating merge patch: %v", err)
	}
	return body
}

func strategicBody(t testing.TB, _, original, changed []byte) []byte {
	t.Helper()
	body, err := strategicpatch.CreateTwoWayMergePatch(original, changed, batchv1.Job{})
	if err != nil {
		t.Fatalf("creating strategic merge patch: %v", err)
	}
	return body
}

// applyBody returns the changed Job without the server-owned fields and the status, unless the
// change sets them.
func applyBody(t testing.TB, _, original, changed []byte) []byte {
	t.Helper()
	var old, job map[string]any
	for content, into := range map[string]*map[string]any{string(original): &old, string(changed): &job} {
		if err := json.Unmarshal([]byte(content), into); err != nil {
			t.Fatalf("decoding Job: %v", err)
		}
	}
	oldMetadata, metadata := old["metadata"].(map[string]any), job["metadata"].(map[string]any)
	for _, field := range []string{"creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid"} {
		if reflect.DeepEqual(oldMetadata[field], metadata[field]) {
			delete(metadata, field)
		}
	}
	if reflect.DeepEqual(old["status"], job["status"]) {
		delete(job, "status")
	}
	return encode(t, job)
}

// bodyFor returns the request body that makes the same change to the original Job as patch, a
// JSON Patch.
func (update updateType) bodyFor(t testing.TB, patch string, original []byte) []byte {
	t.Helper()
	decoded, err := jsonpatch.DecodePatch([]byte(patch))
	if err != nil {
		t.Fatalf("decoding patch %s: %v", patch, err)
	}
	changed, err := decoded.Apply(original)
	if err != nil {
		t.Fatalf("applying patch %s: %v", patch, err)
	}
	return update.body(t, []byte(patch), original, changed)
}

// resourceName returns the name of a resource or subresource for subtest names.
func resourceName(subresource string) string {
	if subresource == "" {
		return "jobs"
	}
	return "status"
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

func (update updateType) send(t testing.TB, u *user, path string, body []byte, dryRun bool) *response {
	t.Helper()
	return u.do(t, request{method: update.method, path: path, query: update.query(dryRun), contentType: update.contentType, body: body})
}

// sendTyped sends the body with client-go's typed client.
func (update updateType) sendTyped(t testing.TB, jobs batchv1client.JobInterface, body []byte, dryRun bool, subresources ...string) (*batchv1.Job, error) {
	t.Helper()
	var dry []string
	if dryRun {
		dry = []string{metav1.DryRunAll}
	}
	sent := &batchv1.Job{}
	if update.contentType != jsonPatch {
		if err := json.Unmarshal(body, sent); err != nil {
			t.Fatalf("decoding body %s: %v", body, err)
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

// bodySetting returns a request body that sets one field of the original Job, for example
// "metadata.name". It leaves out other fields if the update type allows that.
func (update updateType) bodySetting(t testing.TB, original []byte, field string, value any) []byte {
	t.Helper()
	path := strings.Split(field, ".")
	job := map[string]any{}
	switch update.name {
	case "JSON patch":
		return encode(t, []any{map[string]any{"op": "add", "path": "/" + strings.Join(path, "/"), "value": value}})
	case "apply": // an apply removes the fields that it leaves out
		if err := json.Unmarshal(encode(t, newJob(t)), &job); err != nil {
			t.Fatalf("decoding fixture: %v", err)
		}
	case "PUT":
		if err := json.Unmarshal(original, &job); err != nil {
			t.Fatalf("decoding Job: %v", err)
		}
	}
	if err := unstructured.SetNestedField(job, value, path...); err != nil {
		t.Fatalf("setting %s: %v", field, err)
	}
	return encode(t, job)
}
