package integration

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The requests of the cloud provider's page "Updating a Specified Job", and what follows
// from its answer: a Job with metadata.enable, which Kubernetes does not have.
const (
	pageExample     = `{"op": "replace", "path": "/status", "value": "Available"}`
	pageAsJSONPatch = `[{"op": "replace", "path": "/status", "value": "Available"}]`
)

func TestCCERequestsHandledAsUpstream(t *testing.T) {
	t.Parallel()
	unknown := []string{`unknown field "op"`, `unknown field "path"`, `unknown field "value"`}
	for name, row := range map[string]struct {
		contentType, body, validation string

		code     int // 200 where it is 0
		reason   metav1.StatusReason
		message  string // the end of it: upstream's begins with the whole patched object
		warnings []string
	}{
		"the example, verbatim": {
			contentType: mergePatch, body: pageExample, warnings: unknown,
		},
		"the example, with warnings asked for": {
			contentType: mergePatch, body: pageExample, validation: "Warn", warnings: unknown,
		},
		"the example, with unknown fields ignored": {
			contentType: mergePatch, body: pageExample, validation: "Ignore",
		},
		"the example, strict": {
			contentType: mergePatch, body: pageExample, validation: "Strict",
			code: http.StatusUnprocessableEntity, reason: metav1.StatusReasonInvalid,
			message: `strict decoding error: unknown field "op", unknown field "path", unknown field "value"`,
		},
		"the example as a strategic merge patch": {
			contentType: strategicPatch, body: pageExample, warnings: unknown,
		},
		"the example as a JSON Patch": {
			contentType: jsonPatch, body: pageAsJSONPatch,
			code: http.StatusUnprocessableEntity, reason: metav1.StatusReasonInvalid,
			message: `json: cannot unmarshal string into Go struct field Job.status of type v1.JobStatus`,
		},
		"the example's object sent as a JSON Patch": {
			contentType: jsonPatch, body: pageExample,
			code: http.StatusBadRequest, reason: metav1.StatusReasonBadRequest,
			message: `error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp`,
		},
		"a status of the right type as a JSON Patch": {
			contentType: jsonPatch, body: `[{"op":"replace","path":"/status","value":{"succeeded":2}}]`,
			warnings: []string{"status: ignored: update it through the status subresource"},
		},
		"metadata.enable": {
			contentType: mergePatch, body: `{"metadata":{"enable":true}}`,
			warnings: []string{`unknown field "metadata.enable"`},
		},
		"metadata.enable, ignored": {
			contentType: mergePatch, body: `{"metadata":{"enable":true}}`, validation: "Ignore",
		},
		"metadata.enable, strict": {
			contentType: mergePatch, body: `{"metadata":{"enable":true}}`, validation: "Strict",
			code: http.StatusUnprocessableEntity, reason: metav1.StatusReasonInvalid,
			message: `strict decoding error: unknown field "metadata.enable"`,
		},
		"metadata.enable as a JSON Patch": {
			contentType: jsonPatch, body: `[{"op":"add","path":"/metadata/enable","value":true}]`,
			warnings: []string{`unknown field "metadata.enable"`},
		},
		"the template's metadata.enable": {
			contentType: mergePatch, body: `{"spec":{"template":{"metadata":{"enable":true}}}}`,
			warnings: []string{`unknown field "spec.template.metadata.enable"`},
		},
		"the template's metadata.enable, strict": {
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
					t.Errorf("the answered Job is not the stored one (-want +got):\n%s", diff)
				}
			} else {
				status := resp.expect(t, row.code).status(t)
				if status.Reason != row.reason || !strings.HasSuffix(status.Message, row.message) {
					t.Errorf("the answer is %s, %q, want %s, ...%q", status.Reason, status.Message, row.reason, row.message)
				}
			}
			if diff := cmp.Diff(row.warnings, resp.warnings(t)); diff != "" {
				t.Errorf("the warnings are not the wanted ones (-want +got):\n%s", diff)
			}
			shared.read(t, jobKey(namespace, "pi")).expectUnchanged(t, before)
		})
	}
}

// A client that creates what the page shows gets the Job without the vendor's field.
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
		t.Errorf("the answer is %q, want ...%q", status.Message, want)
	}
	if shared.read(t, jobKey(namespace, "pi")).value != nil {
		t.Error("a refused create was stored")
	}
	resp := create("Warn").expect(t, http.StatusCreated)
	want := []string{`unknown field "metadata.enable"`, `unknown field "spec.template.metadata.enable"`}
	if diff := cmp.Diff(want, resp.warnings(t)); diff != "" {
		t.Errorf("the warnings are not the wanted ones (-want +got):\n%s", diff)
	}
	var job struct {
		Metadata map[string]any `json:"metadata"`
	}
	shared.admin.get(t, jobPath(namespace, "pi")).decode(t, &job)
	if enable, ok := job.Metadata["enable"]; ok {
		t.Errorf("metadata.enable is answered: %v", enable)
	}
}
