// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	genericapiserver "k8s.io/apiserver/pkg/server"
	"k8s.io/apiserver/pkg/util/compatibility"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	"k8s.io/kubernetes/pkg/apis/batch"
	_ "k8s.io/kubernetes/pkg/apis/batch/install" // imported by pkg/apiserver in production
	_ "k8s.io/kubernetes/pkg/apis/core/install"  // types in batch

	"github.com/batchgate/batchgate/pkg/apiserver/openapi"
)

const staticValidatingPolicy = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: no-bad-jobs.static.k8s.io}
spec:
  matchConstraints:
    resourceRules:
    - {apiGroups: [batch], apiVersions: [v1], resources: [jobs], operations: [UPDATE]}
  validations:
  - {expression: "object.metadata.name != 'bad'", message: denied by a file}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: no-bad-jobs.static.k8s.io}
spec: {policyName: no-bad-jobs.static.k8s.io, validationActions: [Deny]}
`

const staticMutatingPolicy = `
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: label-jobs.static.k8s.io}
spec:
  matchConstraints:
    resourceRules:
    - {apiGroups: [batch], apiVersions: [v1], resources: [jobs], operations: [UPDATE]}
  failurePolicy: Fail
  reinvocationPolicy: Never
  mutations:
  - patchType: JSONPatch
    jsonPatch:
      expression: '[JSONPatch{op: "add", path: "/metadata/labels", value: {"from": "file"}}]'
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: label-jobs.static.k8s.io}
spec: {policyName: label-jobs.static.k8s.io}
`

// staticWebhook needs a kind, the webhook's URL and its CA.
const staticWebhook = `
apiVersion: admissionregistration.k8s.io/v1
kind: %s
metadata: {name: deny-jobs.static.k8s.io}
webhooks:
- name: deny-jobs.static.k8s.io
  clientConfig: {url: %q, caBundle: %s}
  rules:
  - {apiGroups: [batch], apiVersions: [v1], resources: [jobs], operations: [UPDATE]}
  sideEffects: None
  admissionReviewVersions: [v1]
`

// Policies and webhooks in files apply to Jobs as in kube-apiserver, even if the API has no policy or
// webhook objects.
func TestApplyTo_StaticManifests(t *testing.T) {
	webhook := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review admissionv1.AdmissionReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			t.Error(err)
		}
		review.Response = &admissionv1.AdmissionResponse{UID: review.Request.UID, Result: &metav1.Status{Message: "denied by a webhook in a file"}}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(review); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(webhook.Close)
	ca := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: webhook.Certificate().Raw}))
	for name, tc := range map[string]struct {
		plugin, configKind, manifest string
		wantErr                      string
		wantLabel                    string
	}{
		"validating policy":  {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyConfiguration", staticValidatingPolicy, "denied by a file", ""},
		"mutating policy":    {"MutatingAdmissionPolicy", "MutatingAdmissionPolicyConfiguration", staticMutatingPolicy, "", "file"},
		"validating webhook": {"ValidatingAdmissionWebhook", "WebhookAdmissionConfiguration", fmt.Sprintf(staticWebhook, "ValidatingWebhookConfiguration", webhook.URL, ca), "denied by a webhook in a file", ""},
		"mutating webhook":   {"MutatingAdmissionWebhook", "WebhookAdmissionConfiguration", fmt.Sprintf(staticWebhook, "MutatingWebhookConfiguration", webhook.URL, ca), "denied by a webhook in a file", ""},
	} {
		t.Run(name, func(t *testing.T) {
			job, err := update(t, newAdmissionChain(t, tc.plugin, tc.configKind, tc.manifest))
			if tc.wantErr == "" && err != nil || tc.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tc.wantErr)) {
				t.Errorf("got error %v, want %q", err, tc.wantErr)
			}
			if got := job.Labels["from"]; got != tc.wantLabel {
				t.Errorf("got label %q, want %q", got, tc.wantLabel)
			}
		})
	}
}

// newAdmissionChain returns the server's admission chain with one manifest for one plugin.
func newAdmissionChain(t *testing.T, plugin, configKind, manifest string) admission.Interface {
	t.Helper()
	directory := t.TempDir()
	manifests := filepath.Join(directory, "manifests")
	config := fmt.Sprintf(`
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: %s
  configuration: {apiVersion: apiserver.config.k8s.io/v1, kind: %s, staticManifestsDir: %s}
`, plugin, configKind, manifests)
	configFile := filepath.Join(directory, "admission.yaml")
	if err := os.Mkdir(manifests, 0o700); err != nil {
		t.Fatal(err)
	}
	for file, content := range map[string]string{filepath.Join(manifests, "manifest.yaml"): manifest, configFile: config} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	client := fake.NewClientset(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ns"}})
	generic := genericapiserver.NewRecommendedConfig(legacyscheme.Codecs)
	generic.EffectiveVersion = compatibility.DefaultBuildEffectiveVersion()
	openapi.ApplyTo(&generic.Config)
	generic.SharedInformerFactory = informers.NewSharedInformerFactory(client, 0)
	generic.Authorization.Authorizer = authorizerfactory.NewAlwaysAllowAuthorizer()
	o := NewOptions()
	o.ConfigFile = configFile
	if err := ApplyTo(generic, o, client, dynamicfake.NewSimpleDynamicClient(runtime.NewScheme())); err != nil {
		t.Fatal(err)
	}
	generic.SharedInformerFactory.StartWithContext(t.Context())
	return generic.AdmissionControl
}

// update sends an update of a Job through admission, and returns the Job.
func update(t *testing.T, chain admission.Interface) (*batch.Job, error) {
	t.Helper()
	job := &batch.Job{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "bad"}}
	attributes := admission.NewAttributesRecord(job, job.DeepCopy(), batchv1.SchemeGroupVersion.WithKind("Job"), "ns", "bad",
		batchv1.SchemeGroupVersion.WithResource("jobs"), "", admission.Update, &metav1.UpdateOptions{}, false, &user.DefaultInfo{Name: "alice"})
	interfaces := admission.NewObjectInterfacesFromScheme(legacyscheme.Scheme)
	if err := chain.(admission.MutationInterface).Admit(t.Context(), attributes, interfaces); err != nil {
		return job, err
	}
	return job, chain.(admission.ValidationInterface).Validate(t.Context(), attributes, interfaces)
}
