// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package jobupdatepolicy

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
)

func TestController_FollowsChanges(t *testing.T) {
	f := newFixture(t)
	f.run()
	f.eventually("readiness", f.isReady)
	if f.allowsSuspend() {
		t.Fatal("the bootstrap policies allow spec.suspend")
	}
	if _, err := f.client.Create(t.Context(), suspendPolicy("p"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	f.eventually("created policy", f.allowsSuspend)
	f.eventually("condition Ready", func() bool { return f.readyCondition("p").Status == metav1.ConditionTrue })
	if c := f.readyCondition("p"); c.Reason != v1alpha1.ReasonActive || c.ObservedGeneration != 1 {
		t.Errorf("condition %+v", c)
	}

	changed := f.stored("p")
	changed.Spec.Fields = []string{"spec.backoffLimit"}
	changed.Generation = 2
	if _, err := f.client.Update(t.Context(), changed, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	f.eventually("updated policy", func() bool { return !f.allowsSuspend() })
	f.eventually("condition of generation 2", func() bool { return f.readyCondition("p").ObservedGeneration == 2 })

	if _, err := f.client.Create(t.Context(), suspendPolicy("q"), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	f.eventually("second policy", f.allowsSuspend)
	if err := f.client.Delete(t.Context(), "q", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	f.eventually("deleted policy", func() bool { return !f.allowsSuspend() })
}

func TestController_CompilesOnlyChanges(t *testing.T) {
	setSupported := func(message string) func(*v1alpha1.JobUpdatePolicy) {
		return func(p *v1alpha1.JobUpdatePolicy) {
			p.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionSupported, Status: metav1.ConditionFalse, Message: message}}
		}
	}
	unchanged := func(*v1alpha1.JobUpdatePolicy) {}
	for name, tc := range map[string]struct {
		before, after func(*v1alpha1.JobUpdatePolicy)
		want          bool
	}{
		"nothing":             {unchanged, unchanged, false},
		"metadata":            {unchanged, func(p *v1alpha1.JobUpdatePolicy) { p.Labels, p.ResourceVersion = map[string]string{"team": "a"}, "2" }, false},
		"condition Ready":     {unchanged, func(p *v1alpha1.JobUpdatePolicy) { setReadyCondition(p, nil) }, false},
		"unsupported":         {unchanged, setSupported("a"), true},
		"supported again":     {setSupported("a"), unchanged, true},
		"another message":     {setSupported("a"), setSupported("b"), true},
		"fields":              {unchanged, func(p *v1alpha1.JobUpdatePolicy) { p.Spec.Fields = []string{"spec.suspend", "spec.backoffLimit"} }, true},
		"selector of nothing": {unchanged, func(p *v1alpha1.JobUpdatePolicy) { p.Spec.NamespaceSelector = nil }, true},
		"generation":          {unchanged, func(p *v1alpha1.JobUpdatePolicy) { p.Generation = 2 }, true},
		"recreated":           {unchanged, func(p *v1alpha1.JobUpdatePolicy) { p.UID = "new" }, true},
	} {
		t.Run(name, func(t *testing.T) {
			before, after := suspendPolicy("p"), suspendPolicy("p")
			tc.before(before)
			tc.after(after)
			f := newFixture(t) // does not run, so that the queue keeps its entry
			f.handleUpdate(before, after)
			if got := f.compileQueue.Len() > 0; got != tc.want {
				t.Errorf("a compilation is queued: %t, want %t", got, tc.want)
			}
		})
	}
}

func TestController_ForgetsDeletedPolicies(t *testing.T) {
	f := newFixture(t, &v1alpha1.JobUpdatePolicy{ObjectMeta: metav1.ObjectMeta{Name: "a", UID: "u", Generation: 1}})
	f.run()
	f.eventually("readiness", f.isReady)
	if name := f.forgotten.Load(); name != nil {
		t.Errorf("policy %s is forgotten", *name)
	}
	if err := f.client.Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	f.eventually("forgotten policy", func() bool { name := f.forgotten.Load(); return name != nil && *name == "a" })
}
