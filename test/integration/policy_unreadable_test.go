// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
)

// verboseReadyz returns the result of each readiness check.
var verboseReadyz = request{method: http.MethodGet, path: "/readyz", query: url.Values{"verbose": {""}}}

// A stored policy that cannot be decoded grants nothing. It does not affect other policies, nor
// reading Jobs. Its status says what to do, and deleting it is possible.
func TestPolicyUndecodableGrantsNothing(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	first, err := startServer(directory, setup{})
	if err != nil {
		t.Fatal(err)
	}
	first.admin.create(t, "ns", newJob(t))
	if _, err := first.etcd.Put(t.Context(), policyKey("broken"), "{"); err != nil {
		t.Fatal(err)
	}
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	s, err := startServer(directory, setup{})
	if err != nil {
		t.Fatal(err)
	}
	s.stopAfterTest(t)
	s.admin.get(t, jobPath("ns", "pi"))
	s.admin.patch(t, jobPath("ns", "pi"), mergePatch, `{"metadata":{"labels":{"a":"b"}}}`).expect(t, http.StatusOK)
	s.admin.patch(t, jobPath("ns", "pi"), jsonPatch, suspendPatch).expect(t, http.StatusUnprocessableEntity)
	policies := s.admin.policies(t)
	broken, err := policies.Get(t.Context(), "broken", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c := meta.FindStatusCondition(broken.Status.Conditions, "Ready")
	if c == nil || c.Reason != "Undecodable" || !strings.Contains(c.Message, "delete the policy and create it again") {
		t.Errorf("condition Ready is %+v", c)
	}
	if metrics := string(s.admin.get(t, "/metrics").body); !strings.Contains(metrics, `batchgate_job_update_policies{ready="false"}`) {
		t.Error("metrics do not count policies that are not ready")
	}
	broken.Spec.Fields = []string{"spec.suspend"}
	if _, err := policies.Update(t.Context(), broken, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("an update of the policy returns %v, want Invalid", err)
	}
	if got := s.read(t, policyKey("broken")); string(got.value) != "{" {
		t.Errorf("the stored policy is %q, want unchanged", got.value)
	}
	if err := policies.Delete(t.Context(), "broken", metav1.DeleteOptions{}); err != nil {
		t.Errorf("deleting the policy: %v", err)
	}
}

// A policy that cannot be read at all blocks all updates of Jobs, even of fields that the bootstrap
// policies grant. Reading Jobs still works. The error says why updates fail.
func TestPolicyUnreadableBlocksUpdates(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	first, err := startServer(directory, setup{})
	if err != nil {
		t.Fatal(err)
	}
	first.admin.create(t, "ns", newJob(t))
	// It looks encrypted, and the server has no key.
	if _, err := first.etcd.Put(t.Context(), policyKey("broken"), "k8s:enc:aescbc:v1:key:x"); err != nil {
		t.Fatal(err)
	}
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	s, err := startServer(directory, setup{notReady: true})
	if err != nil {
		t.Fatal(err)
	}
	s.stopAfterTest(t)
	if resp := s.admin.do(t, verboseReadyz); resp.code == http.StatusOK || !strings.Contains(string(resp.body), "[-]job-update-policies failed") {
		t.Errorf("want a failed job-update-policies check, got status %d: %s", resp.code, resp.body)
	}
	before := s.read(t, jobKey("ns", "pi"))
	for _, path := range []string{jobPath("ns", "pi"), jobPath("ns", "pi") + "/status"} {
		resp := s.admin.patch(t, path, mergePatch, `{"metadata":{"labels":{"a":"b"}}}`).expect(t, http.StatusServiceUnavailable)
		if resp.header.Get("Retry-After") == "" || !strings.Contains(resp.status(t).Message, "the JobUpdatePolicies are not loaded yet") {
			t.Errorf("response has no Retry-After or no reason: %v %s", resp.header, resp.body)
		}
	}
	s.read(t, jobKey("ns", "pi")).expectUnchanged(t, before)
	s.admin.get(t, jobPath("ns", "pi"))

	// The server recovers without a restart.
	if _, err := s.etcd.Delete(t.Context(), policyKey("broken")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "become ready", func(ctx context.Context) error {
		if resp, err := s.admin.send(ctx, verboseReadyz); err != nil || resp.code != http.StatusOK {
			return fmt.Errorf("not ready: %v %v", resp, err)
		}
		return nil
	})
	s.admin.patch(t, jobPath("ns", "pi"), mergePatch, `{"metadata":{"labels":{"a":"b"}}}`).expect(t, http.StatusOK)
}

// A later release may narrow a policy with a field that this release does not know. Then the whole
// policy grants nothing, and this release does not write it, since that would drop the field.
func TestPolicyUnknownNarrowingFieldGrantsNothing(t *testing.T) {
	t.Parallel()
	s := newServer(t, setup{})
	stored := `{"kind":"JobUpdatePolicy","apiVersion":"policy.batchgate.io/v1alpha1","metadata":{"name":"narrow","uid":"u","generation":4,"creationTimestamp":"2026-01-01T00:00:00Z"},
		"spec":{"fields":["spec.suspend"],"action":"Allow","namespaceSelector":{},"jobSelector":{},"until":"2026-02-01"}}`
	if _, err := s.etcd.Put(t.Context(), policyKey("narrow"), stored); err != nil {
		t.Fatal(err)
	}
	policies := s.admin.policies(t)
	var p *v1alpha1.JobUpdatePolicy
	eventually(t, "see the policy", func(ctx context.Context) (err error) {
		p, err = policies.Get(ctx, "narrow", metav1.GetOptions{})
		return err
	})
	c := meta.FindStatusCondition(p.Status.Conditions, "Ready")
	if c == nil || c.Status != metav1.ConditionFalse || c.Reason != "UnsupportedFields" || !strings.Contains(c.Message, "spec.until") {
		t.Errorf("condition Ready is %+v, want UnsupportedFields with spec.until", c)
	}
	// A later policy shows that the server has compiled this one.
	other, err := policies.Create(t.Context(), policyFor("elsewhere", "spec.suspend"), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	waitForPolicyReady(t, s.admin, other)
	s.admin.create(t, "ns", newJob(t))
	s.admin.patch(t, jobPath("ns", "pi"), jsonPatch, suspendPatch).expect(t, http.StatusUnprocessableEntity)
	p.Labels = map[string]string{"a": "b"}
	if _, err := policies.Update(t.Context(), p, metav1.UpdateOptions{}); !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "spec.until") {
		t.Errorf("an update of the policy returns %v, want Invalid with spec.until", err)
	}
	if got := s.read(t, policyKey("narrow")); string(got.value) != stored {
		t.Errorf("the stored policy is %s, want unchanged", got.value)
	}
}

// If the server cannot see changes of policies, it keeps using the loaded ones for a while. It
// reports the problem in a metric and becomes not ready, so that load balancers send no new
// requests. The test needs a separate process, because metrics are global in a process.
func TestPolicyWatchFailureReported(t *testing.T) {
	t.Parallel()
	p := startStandaloneProcess(t, filepath.Join(t.TempDir(), "data"))
	eventuallyReports := func(what string, readyz int, upToDate string) {
		t.Helper()
		eventually(t, what, func(ctx context.Context) error {
			resp, err := p.admin.send(ctx, verboseReadyz)
			if err != nil || resp.code != readyz {
				return fmt.Errorf("readyz: %v %v", resp, err)
			}
			line := "batchgate_job_update_policies_up_to_date " + upToDate
			if metrics := string(p.admin.get(t, "/metrics").body); !strings.Contains(metrics, "\n"+line+"\n") {
				return fmt.Errorf("metric is missing: %s", line)
			}
			return nil
		})
	}
	eventuallyReports("be ready", http.StatusOK, "1")
	etcd := p.embeddedEtcd(t)
	if _, err := etcd.Put(t.Context(), policyKey("broken"), "k8s:enc:aescbc:v1:key:x"); err != nil {
		t.Fatal(err)
	}
	eventuallyReports("become not ready", http.StatusInternalServerError, "0")
	p.admin.create(t, "ns", newJob(t))
	p.admin.patch(t, jobPath("ns", "pi"), mergePatch, `{"metadata":{"labels":{"a":"b"}}}`).expect(t, http.StatusOK)
	if _, err := etcd.Delete(t.Context(), policyKey("broken")); err != nil {
		t.Fatal(err)
	}
	eventuallyReports("become ready again", http.StatusOK, "1")
}

// A later release may have written a policy with a field that this release does not know. That
// field grants nothing and the status reports it. The other fields are active.
func TestPolicyUnknownFieldReported(t *testing.T) {
	t.Parallel()
	s := newServer(t, setup{})
	stored := `{"kind":"JobUpdatePolicy","apiVersion":"policy.batchgate.io/v1alpha1","metadata":{"name":"future","uid":"u","generation":4,"creationTimestamp":"2026-01-01T00:00:00Z"},
		"spec":{"fields":["spec.future","spec.suspend"],"action":"Allow","namespaceSelector":{},"jobSelector":{}}}`
	if _, err := s.etcd.Put(t.Context(), policyKey("future"), stored); err != nil {
		t.Fatal(err)
	}
	policies := s.admin.policies(t)
	var p *v1alpha1.JobUpdatePolicy
	eventually(t, "report the policy", func(ctx context.Context) error {
		var err error
		if p, err = policies.Get(ctx, "future", metav1.GetOptions{}); err == nil && p.Status.ObservedGeneration != 4 {
			err = fmt.Errorf("status is %+v", p.Status)
		}
		return err
	})
	c := p.Status.Conditions[0]
	want := metav1.Condition{
		Type: "Ready", Status: metav1.ConditionFalse, Reason: "UnsupportedFields", ObservedGeneration: 4, LastTransitionTime: c.LastTransitionTime,
		Message: `field "spec.future": a batch/v1 Job has no field spec.future; the nearest is spec.suspend`,
	}
	c.Message = regexp.MustCompile(`nearest is \S+`).ReplaceAllString(c.Message, "nearest is spec.suspend") // the suggestion may vary
	if diff := cmp.Diff([]metav1.Condition{want}, []metav1.Condition{c}); diff != "" {
		t.Errorf("condition (-want +got):\n%s", diff)
	}
	s.admin.create(t, "ns", newJob(t))
	s.admin.patch(t, jobPath("ns", "pi"), jsonPatch, suspendPatch).expect(t, http.StatusOK)
	if metrics := string(s.admin.get(t, "/metrics").body); !strings.Contains(metrics, `batchgate_job_update_policies{ready="false"}`) {
		t.Error("metrics do not count policies that are not ready")
	}
	// Without the unknown field the policy becomes ready.
	p.Spec.Fields = []string{"spec.suspend"}
	updated, err := policies.Update(t.Context(), p, metav1.UpdateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	waitForPolicyReady(t, s.admin, updated)
}
