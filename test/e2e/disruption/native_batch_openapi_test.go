// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/test/e2e/internal/session"
	"github.com/batchgate/batchgate/test/framework"
)

// checkedPolicies are policies whose expressions kube-controller-manager checks with the schema of
// Jobs. The second one has an unknown field.
const checkedPolicies = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: valid
spec:
  matchConstraints:
    resourceRules:
    - {apiGroups: [batch], apiVersions: [v1], resources: [jobs], operations: [CREATE]}
  validations:
  - expression: object.spec.parallelism < 100
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: unknown-field
spec:
  matchConstraints:
    resourceRules:
    - {apiGroups: [batch], apiVersions: [v1], resources: [jobs], operations: [CREATE]}
  validations:
  - expression: object.spec.paralelism < 100
`

// appliedJob is the body of a server-side apply. %s is a label.
const appliedJob = `{"apiVersion":"batch/v1","kind":"Job","metadata":{"name":"applied","labels":{"tier":"%s"}},
"spec":{"template":{"spec":{"restartPolicy":"Never","containers":[{"name":"main","image":"example.com/work:1"}]}}}}`

// Batchgate publishes the OpenAPI documents of batch/v1 if kube-apiserver does not serve it.
func TestNativeBatchDisabledKeepsOpenAPI(t *testing.T) {
	t.Parallel()
	s := start(t, framework.ClusterOptions{})
	s.install()
	s.takeOver()
	native := s.useOpenAPI("Kubernetes")
	if err := s.RestartKubeAPIServer(t.Context(), s.APIServers[0], "--runtime-config=batch/v1=false"); err != nil {
		t.Fatal(err)
	}
	batchgate := s.useOpenAPI("Batchgate")
	for name := range native {
		if diff := cmp.Diff(native[name], batchgate[name]); diff != "" {
			t.Errorf("%s differs from kube-apiserver's (-want +got):\n%s", name, diff)
		}
	}
	// After kube-apiserver serves batch/v1 again, nothing must depend on Batchgate.
	if err := s.RestartKubeAPIServer(t.Context(), s.APIServers[0]); err != nil {
		t.Fatal(err)
	}
	s.useOpenAPI("Kubernetes")
	session.ExpectNativeOpenAPI(t, s.Cluster)
}

// useOpenAPI waits until the server with this title publishes batch/v1, uses the documents in each way
// that clients do, and returns them.
func (s *scenario) useOpenAPI(title string) map[string]any {
	s.t.Helper()
	const v3 = "openapi/v3/apis/batch/v1"
	documents := map[string]any{}
	s.eventually("publish batch/v1 of "+title, func() error {
		// kube-apiserver picks one of the servers at random, so ask several times.
		for range 10 {
			document, err := session.ReadDocument(s.t.Context(), s.Client, "/"+v3, "application/json")
			if err != nil {
				return err
			}
			if got := document["info"].(map[string]any)["title"]; got != title {
				return fmt.Errorf("the document has the title %q", got)
			}
			delete(document, "info")
			// Batchgate knows fewer API groups, which share kinds such as DeleteOptions.
			documents[v3] = session.WithKinds(document, func(group string) bool { return group == "batch" })
		}
		return nil
	})
	s.eventually("publish the paths of batch/v1 in OpenAPI v2", func() error {
		document, err := session.ReadDocument(s.t.Context(), s.Client, "/openapi/v2", "application/json")
		if err != nil {
			return err
		}
		found := map[string]any{}
		for part, prefix := range map[string]string{"paths": "/apis/batch/v1/", "definitions": "io.k8s.api.batch.v1."} {
			for name, value := range document[part].(map[string]any) {
				if strings.HasPrefix(name, prefix) {
					found[name] = value
				}
			}
		}
		documents["openapi/v2"] = found
		if _, ok := found["/apis/batch/v1/namespaces/{namespace}/jobs/{name}"]; !ok {
			return fmt.Errorf("it has %d paths and definitions", len(found))
		}
		return nil
	})
	for _, version := range [][]string{{}, {"--output=plaintext-openapiv2"}} {
		text, _, err := s.Kubectl().Run(s.t.Context(), append([]string{"explain", "job.spec.parallelism"}, version...)...)
		if err != nil || !strings.Contains(text, "maximum desired number of pods") {
			s.t.Errorf("kubectl explain %v: %v: %s", version, err, text)
		}
	}
	// kubectl validates with OpenAPI v3 if the server does not.
	if err := s.kubectl("create", "job", "validated", "--image=pi", "--dry-run=server", "--validate=strict"); err != nil {
		s.t.Error(err)
	}
	for _, tier := range []string{"a", "b"} {
		_, _, err := s.Kubectl().WithStdin(fmt.Sprintf(appliedJob, tier)).Run(s.t.Context(), "--namespace="+s.namespace, "apply", "--server-side", "--filename=-")
		if err != nil {
			s.t.Error(err)
		}
	}
	if err := s.kubectl("delete", "job", "applied"); err != nil {
		s.t.Error(err)
	}
	s.checkPolicyTypes()
	return documents
}

// checkPolicyTypes checks that kube-controller-manager type-checks the expressions of policies for
// Jobs.
func (s *scenario) checkPolicyTypes() {
	s.t.Helper()
	if _, _, err := s.Kubectl().WithStdin(checkedPolicies).Run(s.t.Context(), "create", "--filename=-"); err != nil {
		s.t.Fatal(err)
	}
	for name, want := range map[string]int{"valid": 0, "unknown-field": 1} {
		policies := s.Client.AdmissionregistrationV1().ValidatingAdmissionPolicies()
		var policy *admissionregistrationv1.ValidatingAdmissionPolicy
		s.eventually("check the types of the policy "+name, func() (err error) {
			policy, err = policies.Get(s.t.Context(), name, metav1.GetOptions{})
			if err == nil && policy.Status.TypeChecking == nil {
				err = fmt.Errorf("the status is %+v", policy.Status)
			}
			return err
		})
		if warnings := policy.Status.TypeChecking.ExpressionWarnings; len(warnings) != want {
			s.t.Errorf("the policy %s has the warnings %v, want %d", name, warnings, want)
		}
		if err := policies.Delete(s.t.Context(), name, metav1.DeleteOptions{}); err != nil {
			s.t.Error(err)
		}
	}
}
