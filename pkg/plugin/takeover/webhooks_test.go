// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package takeover_test

import (
	"errors"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/pkg/plugin/cluster/fake"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
)

func TestTakeover_Webhooks(t *testing.T) {
	rule := func(group, resource string) []admissionv1.RuleWithOperations {
		return []admissionv1.RuleWithOperations{{
			Operations: []admissionv1.OperationType{admissionv1.Create},
			Rule:       admissionv1.Rule{APIGroups: []string{group}, APIVersions: []string{"v1"}, Resources: []string{resource}},
		}}
	}
	service := func(name string) admissionv1.WebhookClientConfig {
		return admissionv1.WebhookClientConfig{Service: &admissionv1.ServiceReference{Namespace: fake.Service.Namespace, Name: name}}
	}
	ignore := admissionv1.Ignore
	failing := apierrors.NewInternalError(errors.New(`failed calling webhook "w.example.com": no route to host`))
	for name, tc := range map[string]struct {
		rules     []admissionv1.RuleWithOperations
		client    admissionv1.WebhookClientConfig
		policy    *admissionv1.FailurePolicyType
		clusterIP string
		err       error // of the dry run
		// detail is expected if the check succeeds, wrong otherwise.
		detail, wrong string
	}{
		"reached":            {rules: rule("batch", "jobs"), client: service("batchgate-apiserver"), detail: "2 for Jobs and CronJobs"},
		"other resource":     {rules: rule("apps", "deployments"), client: service("missing"), detail: "0 for Jobs and CronJobs"},
		"missing Service":    {rules: rule("*", "*"), client: service("missing"), wrong: "its Service batchgate-system/missing does not exist"},
		"missing, ignored":   {rules: rule("*", "*/*"), client: service("missing"), policy: &ignore, detail: "its Service batchgate-system/missing does not exist"},
		"headless":           {rules: rule("batch", "cronjobs/status"), client: service("webhook"), clusterIP: "None", wrong: "its Service batchgate-system/webhook is headless"},
		"headless, ignored":  {rules: rule("batch", "cronjobs"), client: service("webhook"), clusterIP: "None", policy: &ignore, wrong: "is headless"},
		"no ready endpoint":  {rules: rule("batch", "jobs"), client: service("webhook"), clusterIP: "10.0.0.9", wrong: "has no ready endpoint"},
		"ignored":            {rules: rule("batch", "jobs"), client: service("batchgate-apiserver"), policy: &ignore, detail: "has failurePolicy Ignore"},
		"on the host":        {rules: rule("batch", "jobs"), client: admissionv1.WebhookClientConfig{URL: ptr.To("https://127.0.0.1:9443/x")}, detail: "it runs on kube-apiserver's host"},
		"outside":            {rules: rule("batch", "jobs"), client: admissionv1.WebhookClientConfig{URL: ptr.To("https://example.com/x")}, detail: "Batchgate must reach https://example.com/x"},
		"not reached":        {rules: rule("batch", "jobs"), client: service("batchgate-apiserver"), err: failing, wrong: `Batchgate cannot call a webhook for a Job: Internal error occurred: failed calling webhook "w.example.com"`},
		"dry run impossible": {rules: rule("batch", "jobs"), client: service("batchgate-apiserver"), err: apierrors.NewBadRequest("admission webhook does not support dry run"), detail: "one does not support dry runs"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			client := c.KubeAPIServer.AdmissionregistrationV1()
			validating := &admissionv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "v"}, Webhooks: []admissionv1.ValidatingWebhook{
				{Name: "w.example.com", Rules: tc.rules, ClientConfig: tc.client, FailurePolicy: tc.policy},
			}}
			mutating := &admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "m"}, Webhooks: []admissionv1.MutatingWebhook{
				{Name: "w.example.com", Rules: tc.rules, ClientConfig: tc.client, FailurePolicy: tc.policy},
			}}
			_, err1 := client.ValidatingWebhookConfigurations().Create(t.Context(), validating, metav1.CreateOptions{})
			_, err2 := client.MutatingWebhookConfigurations().Create(t.Context(), mutating, metav1.CreateOptions{})
			s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: fake.Service.Namespace, Name: "webhook"}, Spec: corev1.ServiceSpec{ClusterIP: tc.clusterIP}}
			_, err3 := c.KubeAPIServer.CoreV1().Services(s.Namespace).Create(t.Context(), s, metav1.CreateOptions{})
			if err := errors.Join(err1, err2, err3); err != nil {
				t.Fatal(err)
			}
			dryRuns := 0
			c.Before = func(request string) error {
				if strings.HasPrefix(request, "Batchgate dry-run jobs") {
					if dryRuns++; dryRuns == 1 { // the canary is next
						return tc.err
					}
				}
				return nil
			}
			r := &recorder{}
			err := takeOver(t, c, r)
			got := r.result("webhooks")
			if tc.wrong == "" && (err != nil || !strings.Contains(got.Detail, tc.detail)) {
				t.Errorf("unexpected error or result: %v, %+v, want %q", err, got, tc.detail)
			}
			if tc.wrong != "" && (!errors.Is(err, steps.ErrNothingChanged) || !strings.Contains(got.Error, tc.wrong)) {
				t.Errorf("unexpected error or result: %v, %+v, want %q", err, got, tc.wrong)
			}
		})
	}
}

// The canaries do not show whether Batchgate reaches a webhook that is not called for them.
func TestTakeover_SelectiveWebhooks(t *testing.T) {
	const note = "is not called for all requests"
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}
	for name, tc := range map[string]struct {
		change func(*admissionv1.ValidatingWebhook)
		note   bool
	}{
		"every Job":          {func(*admissionv1.ValidatingWebhook) {}, false},
		"empty selector":     {func(w *admissionv1.ValidatingWebhook) { w.ObjectSelector = &metav1.LabelSelector{} }, false},
		"object selector":    {func(w *admissionv1.ValidatingWebhook) { w.ObjectSelector = selector }, true},
		"namespace selector": {func(w *admissionv1.ValidatingWebhook) { w.NamespaceSelector = selector }, true},
		"match condition": {func(w *admissionv1.ValidatingWebhook) {
			w.MatchConditions = []admissionv1.MatchCondition{{Name: "a", Expression: "false"}}
		}, true},
		"updates only": {func(w *admissionv1.ValidatingWebhook) {
			w.Rules[0].Operations = []admissionv1.OperationType{admissionv1.Update}
		}, true},
		"status only": {func(w *admissionv1.ValidatingWebhook) { w.Rules[0].Resources = []string{"jobs/status"} }, true},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			w := admissionv1.ValidatingWebhook{
				Name: "w.example.com",
				Rules: []admissionv1.RuleWithOperations{{
					Operations: []admissionv1.OperationType{admissionv1.OperationAll},
					Rule:       admissionv1.Rule{APIGroups: []string{"batch"}, APIVersions: []string{"v1"}, Resources: []string{"jobs"}},
				}},
				ClientConfig: admissionv1.WebhookClientConfig{Service: &admissionv1.ServiceReference{Namespace: fake.Service.Namespace, Name: fake.Service.Name}},
			}
			tc.change(&w)
			configuration := &admissionv1.ValidatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: "v"}, Webhooks: []admissionv1.ValidatingWebhook{w}}
			if _, err := c.KubeAPIServer.AdmissionregistrationV1().ValidatingWebhookConfigurations().Create(t.Context(), configuration, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			r := &recorder{}
			err := takeOver(t, c, r)
			if got := r.result("webhooks").Detail; err != nil || strings.Contains(got, note) != tc.note {
				t.Errorf("unexpected error or result: %v, %q", err, got)
			}
		})
	}
}
