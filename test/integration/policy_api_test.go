// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/kube-openapi/pkg/validation/spec"

	policyapply "github.com/batchgate/batchgate/pkg/generated/applyconfiguration/policy/v1alpha1"
)

func TestPolicyDiscovery(t *testing.T) {
	t.Parallel()
	var got metav1.APIResourceList
	shared.admin.get(t, "/apis/policy.batchgate.io/v1alpha1").decode(t, &got)
	i := slices.IndexFunc(got.APIResources, func(r metav1.APIResource) bool { return r.Name == "jobupdatepolicies" })
	if i < 0 {
		t.Fatalf("got resources %+v", got.APIResources)
	}
	resource := got.APIResources[i]
	resource.StorageVersionHash = ""
	want := metav1.APIResource{
		Name: "jobupdatepolicies", SingularName: "jobupdatepolicy", Kind: "JobUpdatePolicy",
		ShortNames: []string{"jup"}, Categories: []string{"batchgate"},
		Verbs: []string{"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"},
	}
	if diff := cmp.Diff(want, resource); diff != "" {
		t.Errorf("resource jobupdatepolicies (-want +got):\n%s", diff)
	}
}

// kubectl explain shows these descriptions.
func TestPolicyFieldsDocumented(t *testing.T) {
	t.Parallel()
	var document struct {
		Components struct {
			Schemas map[string]spec.Schema `json:"schemas"`
		} `json:"components"`
	}
	shared.admin.get(t, "/openapi/v3/apis/policy.batchgate.io/v1alpha1").decode(t, &document)
	fields := 0
	for name, schema := range document.Components.Schemas {
		if !strings.HasPrefix(name, "io.batchgate.") {
			continue
		}
		for property, s := range schema.Properties {
			fields++
			if len(s.Description) < 10 {
				t.Errorf("%s.%s has description %q", name, property, s.Description)
			}
		}
	}
	if fields < 15 {
		t.Errorf("only %d fields are documented", fields)
	}
}

func TestPolicyMediaTypes(t *testing.T) {
	t.Parallel()
	const protobuf = "application/vnd.kubernetes.protobuf"
	for accept, want := range map[string]struct {
		code        int
		contentType string
	}{
		"":                             {http.StatusOK, "application/json"},
		protobuf + ",application/json": {http.StatusOK, "application/json"},
		"application/yaml":             {http.StatusOK, "application/yaml"},
		protobuf:                       {http.StatusNotAcceptable, protobuf}, // the Status is protobuf
	} {
		resp := shared.admin.do(t, request{method: http.MethodGet, path: policiesPath + "/default", accept: accept})
		if resp.code != want.code || resp.header.Get("Content-Type") != want.contentType {
			t.Errorf("Accept %q: got status %d and Content-Type %s, want %d and %s", accept, resp.code, resp.header.Get("Content-Type"), want.code, want.contentType)
		}
	}
	shared.admin.do(t, request{method: http.MethodPost, path: policiesPath, contentType: protobuf, body: []byte("k8s\x00")}).expect(t, http.StatusUnsupportedMediaType)
}

func TestPolicyInvalidRejected(t *testing.T) {
	t.Parallel()
	body := `{"apiVersion":"policy.batchgate.io/v1alpha1","kind":"JobUpdatePolicy","metadata":{"name":"invalid"},
		"spec":{"fields":["spec.suspend","spec.template.spec.container[*].image"],"subjects":[{"kind":"Robot","name":"r2"}],"action":"Deny"}}`
	status := shared.admin.do(t, request{method: http.MethodPost, path: policiesPath, body: []byte(body)}).expect(t, http.StatusUnprocessableEntity).status(t)
	want := map[string]string{
		"spec.subjects[0].kind": `Unsupported value: "Robot": supported values: "ServiceAccount", "User", "Group"`,
		"spec.fields[1]": `Invalid value: "spec.template.spec.container[*].image": a batch/v1 Job has no field spec.template.spec.container[*].image; ` +
			`the nearest is spec.template.spec.containers[*].image`,
		"spec.action": `Unsupported value: "Deny": supported values: "Allow", "Warn"`,
	}
	got := map[string]string{}
	for _, cause := range status.Details.Causes {
		got[cause.Field] = cause.Message
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("causes (-want +got):\n%s", diff)
	}
	if stored := shared.read(t, policyKey("invalid")); stored.value != nil {
		t.Errorf("invalid policy was stored: %s", stored.value)
	}
}

func TestPolicyServerSideApply(t *testing.T) {
	t.Parallel()
	namespace := newNamespace()
	p := createPolicy(t, policyFor(namespace, "spec.suspend"))
	policies := shared.admin.policies(t)
	change := policyapply.JobUpdatePolicy(p.Name).
		WithSpec(policyapply.JobUpdatePolicySpec().WithFields("spec.suspend", "spec.backoffLimit")).
		WithStatus(policyapply.JobUpdatePolicyStatus().WithObservedGeneration(99))
	applied, err := policies.Apply(t.Context(), change, metav1.ApplyOptions{FieldManager: "test", Force: true})
	if err != nil {
		t.Fatal(err)
	}
	if applied.Generation != p.Generation+1 || applied.Status.ObservedGeneration == 99 {
		t.Errorf("generation is %d, the earlier generation was %d; status is %+v", applied.Generation, p.Generation, applied.Status)
	}
	waitForPolicyReady(t, shared.admin, applied)
	// spec.fields is a set, so the apply keeps the field of the creator.
	if diff := cmp.Diff([]string{"spec.suspend", "spec.backoffLimit"}, applied.Spec.Fields); diff != "" {
		t.Errorf("spec.fields (-want +got):\n%s", diff)
	}
	resp := shared.admin.do(t, request{method: http.MethodPatch, path: policiesPath + "/" + p.Name + "/status", contentType: mergePatch, body: []byte(`{"spec":{"fields":["*"]}}`)})
	var patched struct {
		Spec struct{ Fields []string } `json:"spec"`
	}
	if err := json.Unmarshal(resp.expect(t, http.StatusOK).body, &patched); err != nil || len(patched.Spec.Fields) != 2 {
		t.Errorf("status update changed the spec: %v %v", patched, err)
	}
}
