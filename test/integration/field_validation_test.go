// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Each update sets a field that a Job does not have and changes a label.
func TestFieldValidationMatchesUpstream(t *testing.T) {
	t.Parallel()
	const change = `[{"op":"add","path":"/spec/parallelisms","value":3},{"op":"replace","path":"/metadata/labels/team","value":"green"}]`
	const unknown = `unknown field "spec.parallelisms"`
	type row struct {
		code    int
		message string
		warning []string
	}
	dropped, warned := row{code: http.StatusOK}, row{code: http.StatusOK, warning: []string{unknown}}
	for _, update := range updateTypes {
		rows := map[string]row{
			"": warned, "Warn": warned, "Ignore": dropped,
			"Strict": {code: http.StatusUnprocessableEntity, message: "strict decoding error: " + unknown},
		}
		switch update.name {
		case "PUT":
			rows["Strict"] = row{code: http.StatusBadRequest, message: "strict decoding error: " + unknown}
		case "apply": // an apply cannot own a field that is not in the schema
			rejected := row{code: http.StatusInternalServerError, message: ".spec.parallelisms: field not declared in schema"}
			rows = map[string]row{"": rejected, "Warn": rejected, "Ignore": rejected, "Strict": rejected}
		}
		for validation, row := range rows {
			name := update.name + " without fieldValidation"
			if validation != "" {
				name = update.name + " with fieldValidation " + validation
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				namespace := newNamespace()
				original := shared.admin.apply(t, namespace, newJob(t))
				before := shared.read(t, jobKey(namespace, "pi"))
				r := request{
					method: update.method, path: jobPath(namespace, "pi"), query: update.query(false),
					contentType: update.contentType, body: update.bodyFor(t, change, original),
				}
				if validation != "" {
					r.query.Set("fieldValidation", validation)
				}
				resp := shared.admin.do(t, r).expect(t, row.code)
				if diff := cmp.Diff(row.warning, resp.warnings(t)); diff != "" {
					t.Errorf("warnings (-want +got):\n%s", diff)
				}
				after := shared.read(t, jobKey(namespace, "pi"))
				if row.code != http.StatusOK {
					var status metav1.Status // some of upstream's responses have no kind
					resp.decode(t, &status)
					if !strings.HasSuffix(status.Message, row.message) {
						t.Errorf("got message %q, want suffix %q", status.Message, row.message)
					}
					after.expectUnchanged(t, before)
					return
				}
				if got := after.job(t).Labels["team"]; got != "green" {
					t.Errorf("stored label is %q, want green", got)
				}
			})
		}
	}
}
