// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Request bodies from the page "Updating a Specified Job" of the Huawei Cloud CCE API. The
// response on that page has the field metadata.enable, which Kubernetes does not have.
const (
	cceExample   = `{"op": "replace", "path": "/status", "value": "Available"}`
	cceJSONPatch = `[{"op": "replace", "path": "/status", "value": "Available"}]`
)

func TestCCERequestsHandledAsUpstream(t *testing.T) {
	t.Parallel()
	unknown := []string{`unknown field "op"`, `unknown field "path"`, `unknown field "value"`}
	for name, row := range map[string]struct {
		contentType, body, validation string

		code     int // if 0, 200
		reason   metav1.StatusReason
		message  string // suffix: upstream's message starts with the whole patched object
		warnings []string
	}{
		"example verbatim": {
			contentType: mergePatch, body: cceExample, warnings: unknown,
		},
		"example with validation Warn": {
			contentType: mergePatch, body: cceExample, validation: "Warn", warnings: unknown,
		},
		"example with validation Ignore": {
			contentType: mergePatch, body: cceExample, validation: "Ignore",
		},
		"example with validation Strict": {
			contentType: mergePatch, body: cceExample, validation: "Strict",
			code: http.StatusUnprocessableEntity, reason: metav1.StatusReasonInvalid,
			message: `strict decoding error: unknown field "op", unknown field "path", unknown field "value"`,
		},
		"example as strategic merge patch": {
			contentType: strategicPatch, body: cceExample, warnings: unknown,
		},
		"example as JSON Patch": {
			contentType: jsonPatch, body: cceJSONPatch,
			code: http.StatusUnprocessableEntity, reason: metav1.StatusReasonInvalid,
			message: `json: cannot unmarshal string into Go struct field Job.status of type v1.JobStatus`,
		},
		"example object with JSON Patch content type": {
			contentType: jsonPatch, body: cceExample,
			code: http.StatusBadRequest, reason: metav1.StatusReasonBadRequest,
			message: `error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp`,
		},
		"JobStatus as JSON Patch": {
			contentType: jsonPatch, body: `[{"op":"replace","path":"/status","value":{"succeeded":2}}]`,
			warnings: []string{"status: ignored: update it through the status subresource"},
		},
		"metadata.enable": {
			contentType: mergePatch, body: `{"metadata":{"enable":true}}`,
			warnings: []string{`unknown field "metadata.enable"`},
		},
		"metadata.enable with validation Ignore": {
			contentType: mergePatch, body: `{"metadata":{"enable":true}}`, validation: "Ignore",
		},
		"metadata.enable with validation Strict": {
			contentType: mergePatch, body: `{"metadata":{"enable":true}}`, validation: "Strict",
			code: http.StatusUnprocessableEntity, reason: metav1.StatusReasonInvalid,
			message: `strict decoding error: unknown field "metadata.enable"`,
		},
		"metadata.enable as JSON Patch": {
			contentType: jsonPatch, body: `[{"op":"add","path":"/metadata/enable","value":true}]`,
			warnings: []string{`unknown field "metadata.enable"`},
		},
		"template metadata.enable": {
			contentType: mergePatch, body: `{"spec":{"template":{"metadata":{"enable":true}}}}`,
			warnings: []string{`unknown field "spec.template.metadata.enable"`},
		},
		"template metadata.enable with validation Strict": {
			contentType: mergePatch, body: `{"spec":{"template":{"metadata":{"enable":true}}}}`, validation: "Strict",
			code: http.StatusUnprocessableEntity, reason: metav1.StatusReasonInvalid,
			message: `strict decoding error: unknown field "spec.template.metadata.enable"`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			namespace := newNamespace()
			shared.admin.apply(t, namespace, newJob(t))
			original := shared.admin.get(t, jobPath(namespace, "pi"))
			before := shared.read(t, jobKey(namespace, "pi"))
			query := url.Values{}
			if row.validation != "" {
				query.Set("fieldValidation", row.validation)
			}
			resp := shared.admin.do(t, request{
				method: http.MethodPatch, path: jobPath(namespace, "pi"), query: query,
				contentType: row.contentType, body: []byte(row.body),
			})
			if row.code == 0 {
				if diff := cmp.Diff(original.job(t), resp.expect(t, http.StatusOK).job(t)); diff != "" {
					t.Errorf("returned Job differs from stored Job (-want +got):\n%s", diff)
				}
			} else {
				status := resp.expect(t, row.code).status(t)
				if status.Reason != row.reason || !strings.HasSuffix(status.Message, row.message) {
					t.Errorf("got %s with message %q, want %s with suffix %q", status.Reason, status.Message, row.reason, row.message)
				}
			}
			if diff := cmp.Diff(row.warnings, resp.warnings(t)); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
			shared.read(t, jobKey(namespace, "pi")).expectUnchanged(t, before)
		})
	}
}

// A client that creates the Job shown on the page gets it without metadata.enable.
func TestCCECreateDropsUnknownField(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	body := `{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"pi","enable":true},"spec":{"template":{"metadata":{"enable":true},
		"spec":{"restartPolicy":"Never","containers":[{"name":"pi","image":"perl"}]}}}}`
	create := func(validation string) *response {
		return shared.admin.do(t, request{
			method: http.MethodPost, path: jobsPath(namespace), query: url.Values{"fieldValidation": {validation}}, body: []byte(body),
		})
	}
	status := create("Strict").expect(t, http.StatusBadRequest).status(t)
	if want := `strict decoding error: unknown field "metadata.enable", unknown field "spec.template.metadata.enable"`; !strings.HasSuffix(status.Message, want) {
		t.Errorf("got message %q, want suffix %q", status.Message, want)
	}
	if shared.read(t, jobKey(namespace, "pi")).value != nil {
		t.Error("rejected Job was stored")
	}
	resp := create("Warn").expect(t, http.StatusCreated)
	want := []string{`unknown field "metadata.enable"`, `unknown field "spec.template.metadata.enable"`}
	if diff := cmp.Diff(want, resp.warnings(t)); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
	var job struct {
		Metadata map[string]any `json:"metadata"`
	}
	shared.admin.get(t, jobPath(namespace, "pi")).decode(t, &job)
	if enable, ok := job.Metadata["enable"]; ok {
		t.Errorf("response contains metadata.enable: %v", enable)
	}
}
