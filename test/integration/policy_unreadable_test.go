package integration

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
)

// A server that cannot read the policies must not guess: not even what the bootstrap policies
// grant is allowed. Reading Jobs goes on.
func TestPolicyUnreadableBlocksUpdates(t *testing.T) {
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
	s, err := startServer(directory, setup{notReady: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.stop()
	ready := request{method: http.MethodGet, path: "/readyz", query: map[string][]string{"verbose": {""}}}
	if resp := s.admin.do(t, ready); resp.code == http.StatusOK || !strings.Contains(string(resp.body), "[-]job-update-policies failed") {
		t.Errorf("the server is ready, or does not say why not: %d %s", resp.code, resp.body)
	}
	before := s.read(t, jobKey("ns", "pi"))
	for _, path := range []string{jobPath("ns", "pi"), jobPath("ns", "pi") + "/status"} {
		resp := s.admin.patch(t, path, mergePatch, `{"metadata":{"labels":{"a":"b"}}}`).expect(t, http.StatusServiceUnavailable)
		if resp.header.Get("Retry-After") == "" || !strings.Contains(resp.status(t).Message, "the JobUpdatePolicies are not loaded yet") {
			t.Errorf("the answer does not say when or why to come again: %v %s", resp.header, resp.body)
		}
	}
	s.read(t, jobKey("ns", "pi")).expectUnchanged(t, before)
	s.admin.get(t, jobPath("ns", "pi"))

	// It recovers by itself.
	if _, err := s.etcd.Delete(t.Context(), policyKey("broken")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "be ready", func(ctx context.Context) error {
		if resp, err := s.admin.send(ctx, ready); err != nil || resp.code != http.StatusOK {
			return fmt.Errorf("not yet: %v %v", resp, err)
		}
		return nil
	})
	s.admin.patch(t, jobPath("ns", "pi"), mergePatch, `{"metadata":{"labels":{"a":"b"}}}`).expect(t, http.StatusOK)
}

// A server that has loaded the policies goes on with them, and takes no more requests from a
// load balancer, if it cannot see how they change.
func TestPolicyWatchFailureNotReady(t *testing.T) {
	t.Parallel()
	s := newServer(t, setup{})
	ready := func(want int) func(context.Context) error {
		return func(ctx context.Context) error {
			resp, err := s.admin.send(ctx, request{method: http.MethodGet, path: "/readyz", query: map[string][]string{"verbose": {""}}})
			if err != nil || resp.code != want {
				return fmt.Errorf("%v %v", resp, err)
			}
			return nil
		}
	}
	if _, err := s.etcd.Put(t.Context(), policyKey("broken"), "{"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "be not ready", ready(http.StatusInternalServerError))
	s.admin.create(t, "ns", newJob(t))
	s.admin.patch(t, jobPath("ns", "pi"), mergePatch, `{"metadata":{"labels":{"a":"b"}}}`).expect(t, http.StatusOK)
	if _, err := s.etcd.Delete(t.Context(), policyKey("broken")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "be ready again", ready(http.StatusOK))
}

// A policy may have been written by a later release. What is unknown in it grants nothing, and
// is reported; the rest is in force.
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
			err = fmt.Errorf("the status is %+v", p.Status)
		}
		return err
	})
	c := p.Status.Conditions[0]
	want := metav1.Condition{
		Type: "Ready", Status: metav1.ConditionFalse, Reason: "UnsupportedFields", ObservedGeneration: 4, LastTransitionTime: c.LastTransitionTime,
		Message: `field "spec.future": a batch/v1 Job has no field spec.future; the nearest is spec.suspend`,
	}
	c.Message = regexp.MustCompile(`nearest is \S+`).ReplaceAllString(c.Message, "nearest is spec.suspend") // a guess
	if diff := cmp.Diff([]metav1.Condition{want}, []metav1.Condition{c}); diff != "" {
		t.Errorf("the condition (-want +got):\n%s", diff)
	}
	s.admin.create(t, "ns", newJob(t))
	s.admin.patch(t, jobPath("ns", "pi"), jsonPatch, suspendPatch).expect(t, http.StatusOK)
	if metrics := string(s.admin.get(t, "/metrics").body); !strings.Contains(metrics, `batchgate_job_update_policies{ready="false"}`) {
		t.Error("the metrics do not count policies that are not ready")
	}
	// Without its unknown field it is as others are.
	p.Spec.Fields = []string{"spec.suspend"}
	updated, err := policies.Update(t.Context(), p, metav1.UpdateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	waitForPolicyReady(t, s.admin, updated)
}
