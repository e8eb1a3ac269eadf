// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package jobupdatepolicy

import (
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/component-base/metrics/testutil"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	"github.com/batchgate/batchgate/pkg/controller/jobupdatepolicy/bootstrappolicy"
)

func TestController_ReportsUnsupportedFields(t *testing.T) {
	p := suspendPolicy("p")
	p.Spec.Fields = append(p.Spec.Fields, "spec.future", "spec."+strings.Repeat("x", 2*maxMessageLength))
	f := newFixture(t, p)
	f.run()
	f.eventually("condition Ready", func() bool { return f.readyCondition("p").Status == metav1.ConditionFalse })
	c := f.readyCondition("p")
	if c.Reason != v1alpha1.ReasonUnsupportedFields || !strings.Contains(c.Message, "spec.future") || len(c.Message) > maxMessageLength+4 {
		t.Errorf("reason %s, %d bytes: %.200s", c.Reason, len(c.Message), c.Message)
	}
	if !f.allowsSuspend() {
		t.Error("the supported field is not active")
	}
	if value, err := testutil.GetGaugeMetricValue(policyCount.WithLabelValues("false")); err != nil || value != 1 {
		t.Errorf("job_update_policies{ready=\"false\"} is %v, %v", value, err)
	}
}

func TestController_RetriesStatus(t *testing.T) {
	f := newFixture(t, suspendPolicy("p"))
	stop := f.fail("update", apierrors.NewServiceUnavailable("a webhook is down"))
	f.run()
	f.eventually("readiness", f.isReady)
	f.eventually("an attempt to update the status", func() bool {
		return slices.ContainsFunc(f.clientset.Actions(), func(a clienttesting.Action) bool {
			return a.Matches("update", "jobupdatepolicies/status") || a.GetSubresource() == "status"
		})
	})
	stop()
	f.eventually("condition Ready", func() bool { return f.readyCondition("p").Status == metav1.ConditionTrue })
}

// The informer may not have another change of a policy yet, and no policy is compiled because of it.
func TestController_RetriesStatusAfterConflict(t *testing.T) {
	f := newFixture(t, suspendPolicy("p"))
	stop := f.fail("update", apierrors.NewConflict(v1alpha1.Resource("jobupdatepolicies"), "p", nil))
	f.run()
	f.eventually("more attempts than compilations", func() bool {
		attempts := 0
		for _, action := range f.clientset.Actions() {
			write, ok := action.(clienttesting.UpdateAction)
			if ok && action.GetSubresource() == "status" && write.GetObject().(*v1alpha1.JobUpdatePolicy).Name == "p" {
				attempts++
			}
		}
		return attempts > 7
	})
	stop()
	f.eventually("condition Ready", func() bool { return f.readyCondition("p").Status == metav1.ConditionTrue })
}

// Replicas of two releases may disagree about a policy.
func TestController_WritesStatusOfEachVersionOnce(t *testing.T) {
	f := newFixture(t, suspendPolicy("p"))
	f.run()
	f.eventually("condition Ready", func() bool { return f.readyCondition("p").Status == metav1.ConditionTrue })
	other := f.stored("p")
	meta.SetStatusCondition(&other.Status.Conditions, metav1.Condition{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonUnsupportedFields, Message: "of another replica", ObservedGeneration: 1,
	})
	if _, err := f.client.UpdateStatus(t.Context(), other, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	// A later change of another policy goes through the same queues, so p was processed before.
	if _, err := f.client.Create(t.Context(), suspendPolicy("q"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	f.eventually("condition of the second policy", func() bool { return f.readyCondition("q").Status == metav1.ConditionTrue })
	if c := f.readyCondition("p"); c.Message != "of another replica" {
		t.Errorf("the status of another replica was overwritten: %+v", c)
	}
}

// The API rejects updates of a policy that this release does not support.
func TestController_UnsupportedPolicyNotWritten(t *testing.T) {
	def := bootstrappolicy.Policies()[0]
	def.Spec = v1alpha1.JobUpdatePolicySpec{}
	def.Status.Conditions = []metav1.Condition{{Type: "Supported", Status: metav1.ConditionFalse, Message: "cannot be decoded"}}
	f := newFixture(t, def)
	f.run()
	f.eventually("readiness", f.isReady)
	f.eventually("status of the other policies", func() bool {
		for _, action := range f.clientset.Actions() {
			if write, ok := action.(clienttesting.UpdateAction); ok && write.GetObject().(*v1alpha1.JobUpdatePolicy).Name == def.Name {
				t.Fatalf("the policy is updated: %+v", action)
			}
		}
		f.status.mu.Lock()
		defer f.status.mu.Unlock()
		return len(f.status.written) == len(bootstrappolicy.Policies())-1
	})
}
