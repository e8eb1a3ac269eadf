// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestDeniedPathsTruncated(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	shared.admin.apply(t, namespace, newJob(t))
	annotations := map[string]string{}
	for i := range 75 {
		annotations[fmt.Sprintf("example.com/a%02d", i)] = "x"
	}
	body := encode(t, map[string]any{"metadata": map[string]any{"annotations": annotations}})
	before := shared.read(t, jobKey(namespace, "pi"))
	resp := shared.admin.patch(t, jobPath(namespace, "pi"), mergePatch, string(body))
	causes := resp.expect(t, http.StatusUnprocessableEntity).status(t).Details.Causes
	if len(causes) != 50 {
		t.Fatalf("got %d causes, want 50", len(causes))
	}
	var fields []string
	for _, cause := range causes {
		fields = append(fields, cause.Field)
	}
	if !slices.IsSorted(fields) {
		t.Errorf("paths are not sorted: %q", fields)
	}
	if got, want := causes[49].Message, "Forbidden: "+deniedMessage+"; 25 more changed fields are not listed"; got != want {
		t.Errorf("last cause is %q, want %q", got, want)
	}
	if got, want := causes[48].Message, "Forbidden: may not be updated"; got != want {
		t.Errorf("second to last cause is %q, want %q", got, want)
	}
	shared.read(t, jobKey(namespace, "pi")).expectUnchanged(t, before)
}

func TestClientSideApplyDeniedWithHint(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	shared.admin.apply(t, namespace, newJob(t))
	const annotation = "kubectl.kubernetes.io/last-applied-configuration"
	body := `{"metadata":{"annotations":{"` + annotation + `":"{}\n"}},"spec":{"parallelism":2}}`
	resp := shared.admin.patch(t, jobPath(namespace, "pi"), strategicPatch, body).expect(t, http.StatusUnprocessableEntity)
	if warnings := resp.warnings(t); len(warnings) != 1 || !strings.Contains(warnings[0], "kubectl apply --force") || !strings.Contains(warnings[0], "docs/tasks/recipes.md") {
		t.Errorf("got warnings %q, want one about kubectl apply --force", warnings)
	}
	status := resp.status(t)
	if len(status.Details.Causes) != 1 {
		t.Fatalf("got %d causes, want 1: %s", len(status.Details.Causes), status.Message)
	}
	cause := status.Details.Causes[0]
	if got, want := cause.Field, `metadata.annotations["`+annotation+`"]`; got != want {
		t.Errorf("cause is for %s, want %s", got, want)
	}
	if want := "Forbidden: " + deniedMessage + "; kubectl apply writes this annotation: use kubectl patch, or create and update the Job with kubectl apply --server-side"; cause.Message != want {
		t.Errorf("message of the cause is %q, want %q", cause.Message, want)
	}
}

// Messages must not contain Go values as printed by fmt, even if an update replaces whole
// structures.
func TestDeniedMessageHasNoGoSyntax(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	shared.admin.apply(t, namespace, newJob(t))
	for name, body := range map[string]string{
		"pod template replaced": `{"spec":{"template":{"metadata":null,"spec":{"affinity":{"podAffinity":{}},
			"containers":[{"name":"other","image":"x","resources":{"limits":{"cpu":"1"}}}],"volumes":null,"tolerations":null}}}}`,
		"podFailurePolicy added":        `{"spec":{"podFailurePolicy":{"rules":[{"action":"FailJob","onExitCodes":{"operator":"In","values":[1]}}]}}}`,
		"selector that matches nothing": `{"spec":{"selector":{"matchLabels":{"app":"other"}}}}`,
		"invalid selector":              `{"spec":{"selector":{"matchExpressions":[{"key":"app","operator":"Near"}]}}}`,
		"negative completions":          `{"spec":{"completions":-1}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status := shared.admin.patch(t, jobPath(namespace, "pi"), mergePatch, body).
				expect(t, http.StatusUnprocessableEntity).status(t)
			for _, dump := range []string{"&", "{", "0x", "map[", "nil", "core."} {
				if strings.Contains(status.Message, dump) {
					t.Errorf("message contains Go syntax %q: %s", dump, status.Message)
				}
			}
		})
	}
}
