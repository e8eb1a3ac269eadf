// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package core

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/pkg/pki"
	"github.com/batchgate/batchgate/test/e2e/internal/session"
	"github.com/batchgate/batchgate/test/framework"
)

// webhookConfiguration returns a configuration for Jobs in the session's namespace.
func webhookConfiguration(s session.Session, client admissionregistrationv1.WebhookClientConfig, operations ...admissionregistrationv1.OperationType) *admissionregistrationv1.ValidatingWebhookConfiguration {
	return &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: s.Namespace},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name:         "validate.batchgate.io",
			ClientConfig: client,
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: operations,
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{batchv1.GroupName}, APIVersions: []string{"v1"}, Resources: []string{"jobs"}},
			}},
			NamespaceSelector:       &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": s.Namespace}},
			SideEffects:             ptr.To(admissionregistrationv1.SideEffectClassNone),
			AdmissionReviewVersions: []string{"v1"},
		}},
	}
}

// createWebhook creates the configuration and deletes it after the test.
func createWebhook(s session.Session, webhook *admissionregistrationv1.ValidatingWebhookConfiguration) {
	s.T.Helper()
	webhooks := cluster.Client.AdmissionregistrationV1().ValidatingWebhookConfigurations()
	if _, err := webhooks.Create(s.T.Context(), webhook, metav1.CreateOptions{}); err != nil {
		s.T.Fatal(err)
	}
	s.T.Cleanup(func() {
		if err := webhooks.Delete(context.Background(), webhook.Name, metav1.DeleteOptions{}); err != nil {
			s.T.Error(err)
		}
	})
}

// denyLabeled is a webhook that denies Jobs with the label "deny".
func denyLabeled(w http.ResponseWriter, r *http.Request) {
	var review admissionv1.AdmissionReview
	var job batchv1.Job
	if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := json.Unmarshal(review.Request.Object.Raw, &job); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_, deny := job.Labels["deny"]
	response := &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: !deny, Warnings: []string{"seen at " + r.URL.Path}}
	if deny {
		response.Result = &metav1.Status{Message: "the webhook says no"}
	}
	review.Request, review.Response = nil, response
	_ = json.NewEncoder(w).Encode(review)
}

// Cluster IPs do not work here, so a Service of type ExternalName points to this process.
func TestValidatingWebhookBehindServiceApplies(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	dir := t.TempDir()
	ca, err := pki.LoadOrCreate(filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key"), "webhook-ca")
	if err != nil {
		t.Fatal(err)
	}
	certPEM, keyPEM, err := ca.Sign(x509.Certificate{
		DNSNames:    []string{"webhook." + s.Namespace + ".svc"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(denyLabeled))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	server.StartTLS()
	t.Cleanup(server.Close)

	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "webhook"},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "localhost"},
	}
	if _, err := cluster.Client.CoreV1().Services(s.Namespace).Create(t.Context(), service, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	createWebhook(s, webhookConfiguration(s, admissionregistrationv1.WebhookClientConfig{
		Service: &admissionregistrationv1.ServiceReference{
			Namespace: s.Namespace, Name: "webhook", Path: ptr.To("/validate"),
			Port: ptr.To(int32(server.Listener.Addr().(*net.TCPAddr).Port)),
		},
		CABundle: ca.CertPEM,
	}, admissionregistrationv1.Create, admissionregistrationv1.Update))
	s.Eventually("have the webhook called for a new Job", func() error {
		_, stderr, err := s.Try("create", "job", "pi", "--image=example.com/work:1", "--dry-run=server")
		if err == nil && !strings.Contains(stderr, "Warning: seen at /validate") {
			err = fmt.Errorf("kubectl printed %q", stderr)
		}
		return err
	})
	s.CreateJob(session.NewJob("pi"))
	s.ExpectError([]string{"label", "job", "pi", "deny=me"}, `admission webhook "validate.batchgate.io" denied the request: the webhook says no`)
	if got := s.Job("pi").Labels["deny"]; got != "" {
		t.Errorf("a denied update stored the label %q", got)
	}
	s.Run("label", "job", "pi", "tier=batch")
	// The webhook sees only updates that the gate allows.
	s.ExpectError([]string{"annotate", "job", "pi", "a=b"}, session.DeniedMessage)
}

func TestFailingWebhookFollowsFailurePolicy(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	s.CreateJob(session.NewJob("pi"))
	broken := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "broken", http.StatusTeapot)
	}))
	t.Cleanup(broken.Close)
	webhook := webhookConfiguration(s, admissionregistrationv1.WebhookClientConfig{
		URL:      &broken.URL,
		CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: broken.Certificate().Raw}),
	}, admissionregistrationv1.Update)
	webhook.Webhooks[0].FailurePolicy = ptr.To(admissionregistrationv1.Fail)
	createWebhook(s, webhook)
	jobs := cluster.Client.BatchV1().Jobs(s.Namespace)
	label := func(value string) error {
		_, err := jobs.Patch(t.Context(), "pi", types.MergePatchType, []byte(`{"metadata": {"labels": {"by": "`+value+`"}}}`), metav1.PatchOptions{})
		return err
	}
	s.Eventually("have the webhook called", func() error {
		err := label("probe")
		if err == nil {
			return errors.New("the webhook was not called")
		}
		if session.StatusCode(err) != http.StatusInternalServerError || !apierrors.IsInternalError(err) || !strings.Contains(err.Error(), `failed calling webhook "validate.batchgate.io"`) {
			t.Fatalf("got status %d: %v", session.StatusCode(err), err)
		}
		return nil
	})
	// The Job controller may write the status at the same time, so ignore the resource version.
	stored := func() any {
		job := s.Job("pi")
		job.ResourceVersion, job.ManagedFields = "", nil
		return []any{job.ObjectMeta, job.Spec}
	}
	before := stored()
	if err := label("rejected"); session.StatusCode(err) != http.StatusInternalServerError {
		t.Errorf("got error %v, want status 500", err)
	}
	if diff := cmp.Diff(before, stored()); diff != "" {
		t.Errorf("a failed update changed the Job (-before +after):\n%s", diff)
	}
	s.Run("patch", "validatingwebhookconfiguration", s.Namespace, "--type=json",
		`--patch=[{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}]`)
	s.Eventually("ignore the failure", func() error { return label("ignored") })
}

func TestMutatingAdmissionPolicyChangesGated(t *testing.T) {
	if framework.ControlPlaneIs("1.35") {
		t.Skip("Kubernetes 1.35 does not serve admissionregistration.k8s.io/v1 MutatingAdmissionPolicy")
	}
	t.Parallel()
	s := session.New(t, cluster)
	s.CreateJob(session.NewJob("pi"))
	policy := strings.ReplaceAll(`
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata:
  name: NAMESPACE
spec:
  matchConstraints:
    resourceRules:
    - {apiGroups: [batch], apiVersions: [v1], resources: [jobs, jobs/status], operations: [UPDATE]}
  failurePolicy: Fail
  reinvocationPolicy: Never
  variables:
  - {name: what, expression: "'mutate' in object.metadata.?labels.orValue({}) ? object.metadata.labels['mutate'] : ''"}
  mutations:
  - patchType: ApplyConfiguration
    applyConfiguration:
      expression: >-
        variables.what == 'label' ? Object{metadata: Object.metadata{labels: {"mutated": "true"}}} :
        variables.what == 'annotation' ? Object{metadata: Object.metadata{annotations: {"mutated": "true"}}} :
        variables.what == 'limit' ? Object{spec: Object.spec{backoffLimit: 1}} : Object{}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata:
  name: NAMESPACE
spec:
  policyName: NAMESPACE
  matchResources:
    namespaceSelector:
      matchLabels: {kubernetes.io/metadata.name: NAMESPACE}
`, "NAMESPACE", s.Namespace)
	s.WithStdin(policy).Run("create", "--filename=-")
	t.Cleanup(func() {
		if _, _, err := s.Kubectl.WithStdin(policy).Run(context.Background(), "delete", "--filename=-"); err != nil {
			t.Error(err)
		}
	})
	s.Eventually("have the policy applied", func() error {
		// kubectl label would send nothing if the label is already set.
		s.Run("patch", "job", "pi", "--type=merge", `--patch={"metadata": {"labels": {"mutate": "label"}}}`)
		if got := s.JobField("pi", ".metadata.labels.mutated"); got != "true" {
			return fmt.Errorf("label mutated is %q", got)
		}
		return nil
	})
	s.ExpectError([]string{"label", "job", "pi", "--overwrite", "mutate=limit"}, "spec.backoffLimit", session.DeniedMessage)
	s.ExpectError(patchStatusToAnnotate, `metadata.annotations["mutated"]`)
	if got := s.JobField("pi", ".spec.backoffLimit"); got != "6" {
		t.Errorf("backoffLimit is %s after a denied update", got)
	}
}
