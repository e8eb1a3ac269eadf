// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package core

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/test/e2e/internal/session"
)

func TestValidatingAdmissionPolicyApplies(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	s.CreateJob(session.NewJob("pi"))
	policy := strings.ReplaceAll(`
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: NAMESPACE
spec:
  matchConstraints:
    resourceRules:
    - {apiGroups: [batch], apiVersions: [v1], resources: [jobs], operations: [UPDATE]}
  validations:
  - expression: object.spec.parallelism <= 10
    message: at most ten at once
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: NAMESPACE
spec:
  policyName: NAMESPACE
  validationActions: [Deny]
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
	s.Eventually("have parallelism 20 rejected", func() error {
		_, _, err := s.Try("patch", "job", "pi", "--type=merge", `--patch={"spec": {"parallelism": 20}}`, "--dry-run=server")
		if err != nil && strings.Contains(err.Error(), "at most ten at once") {
			return nil
		}
		return fmt.Errorf("got error %v", err)
	})
	s.Run("patch", "job", "pi", "--type=merge", `--patch={"spec": {"parallelism": 10}}`)
}

func TestResourceQuotaCountsJobs(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	s.Run("create", "quota", "few", "--hard=count/jobs.batch=1,count/cronjobs.batch=0")
	s.Eventually("have an active quota", func() error {
		if hard := s.Run("get", "quota", "few", `--output=jsonpath={.status.hard.count/jobs\.batch}`); hard != "1" {
			return fmt.Errorf("hard limit is %q", hard)
		}
		return nil
	})
	s.CreateJob(session.NewJob("pi"))
	s.ExpectError([]string{"create", "job", "second", "--image=example.com/work:1"}, "exceeded quota: few", "count/jobs.batch=1")
	s.ExpectError([]string{"create", "cronjob", "tick", "--image=example.com/work:1", "--schedule=* * * * *"}, "exceeded quota: few")
	s.Run("delete", "job", "pi")
	s.Eventually("create a Job within the quota again", func() error {
		_, _, err := s.Try("create", "job", "second", "--image=example.com/work:1")
		return err
	})
}

func TestPodSecurityWarnsAndAudits(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	s.Run("label", "namespace", s.Namespace, "pod-security.kubernetes.io/warn=restricted", "pod-security.kubernetes.io/audit=restricted")
	s.Eventually("get a warning", func() error {
		_, stderr, err := s.Try("create", "job", "pi", "--image=example.com/work:1", "--dry-run=server")
		if err == nil && !strings.Contains(stderr, `Warning: would violate PodSecurity "restricted:latest"`) {
			err = fmt.Errorf("kubectl printed %q", stderr)
		}
		return err
	})
	s.Eventually("find the violation in the audit log", func() error {
		events, _, err := cluster.AuditEvents(0, "/namespaces/"+s.Namespace+"/jobs")
		for _, event := range events {
			if strings.HasPrefix(event.Annotations["pod-security.kubernetes.io/audit-violations"], "would violate PodSecurity") {
				return nil
			}
		}
		return errors.Join(errors.New("no event has the violation"), err)
	})
}

// The gate evaluates an update after mutating webhooks have changed it.
func TestMutatingWebhookChangesGated(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	s.CreateJob(session.NewJob("pi"))
	server := httptest.NewTLSServer(http.HandlerFunc(mutate))
	t.Cleanup(server.Close)
	webhook := &admissionregistrationv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: s.Namespace},
		Webhooks: []admissionregistrationv1.MutatingWebhook{{
			Name: "mutate.batchgate.io",
			ClientConfig: admissionregistrationv1.WebhookClientConfig{
				URL:      &server.URL,
				CABundle: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}),
			},
			Rules: []admissionregistrationv1.RuleWithOperations{{
				Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Update},
				Rule:       admissionregistrationv1.Rule{APIGroups: []string{batchv1.GroupName}, APIVersions: []string{"v1"}, Resources: []string{"jobs", "jobs/status"}},
			}},
			NamespaceSelector:       &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": s.Namespace}},
			SideEffects:             ptr.To(admissionregistrationv1.SideEffectClassNone),
			AdmissionReviewVersions: []string{"v1"},
		}},
	}
	webhooks := cluster.Client.AdmissionregistrationV1().MutatingWebhookConfigurations()
	if _, err := webhooks.Create(t.Context(), webhook, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := webhooks.Delete(context.Background(), webhook.Name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	s.Eventually("call the webhook", func() error {
		// kubectl label would send nothing if the label is already set.
		s.Run("patch", "job", "pi", "--type=merge", `--patch={"metadata": {"labels": {"mutate": "label"}}}`)
		if got := s.JobField("pi", ".metadata.labels.mutated"); got != "true" {
			return fmt.Errorf("label mutated is %q", got)
		}
		return nil
	})
	s.ExpectError([]string{"label", "job", "pi", "--overwrite", "mutate=image"}, `spec.template.spec.containers[name="main"].image`, session.DeniedMessage)
	s.ExpectError(patchStatusToAnnotate, `metadata.annotations["mutated"]`)
	if got := s.JobField("pi", ".spec.template.spec.containers[0].image"); got != "example.com/work:1" {
		t.Errorf("image is %s after a denied update", got)
	}
}

// patchStatusToAnnotate updates jobs/status so that the mutation under test adds an annotation.
var patchStatusToAnnotate = []string{"patch", "job", "pi", "--subresource=status", "--type=merge", `--patch={"metadata": {"labels": {"mutate": "annotation"}}}`}

// mutate is a webhook that changes the field of a Job that its label "mutate" names.
func mutate(w http.ResponseWriter, r *http.Request) {
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
	response := &admissionv1.AdmissionResponse{UID: review.Request.UID, Allowed: true}
	patches := map[string]string{
		"label":      `[{"op": "add", "path": "/metadata/labels/mutated", "value": "true"}]`,
		"annotation": `[{"op": "add", "path": "/metadata/annotations", "value": {"mutated": "true"}}]`,
		"image":      `[{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "example.com/other"}]`,
	}
	if patch, ok := patches[job.Labels["mutate"]]; ok {
		response.Patch = []byte(patch)
		response.PatchType = ptr.To(admissionv1.PatchTypeJSONPatch)
	}
	review.Request, review.Response = nil, response
	_ = json.NewEncoder(w).Encode(review)
}
