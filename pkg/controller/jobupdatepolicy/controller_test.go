// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package jobupdatepolicy

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/component-base/metrics/testutil"
	"k8s.io/kubernetes/pkg/apis/batch"
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	"github.com/batchgate/batchgate/pkg/controller/jobupdatepolicy/bootstrappolicy"
	"github.com/batchgate/batchgate/pkg/fieldpolicy"
	"github.com/batchgate/batchgate/pkg/generated/clientset/versioned/fake"
)

// timeout bounds every wait.
const timeout = 20 * time.Second

// fixture is a running controller.
type fixture struct {
	*Controller
	t         *testing.T
	clientset *fake.Clientset
	// forgotten is the last policy that the controller has forgotten.
	forgotten atomic.Pointer[string]
}

// newFixture returns a controller that does not run yet, and a fake server with policies.
func newFixture(t *testing.T, policies ...*v1alpha1.JobUpdatePolicy) *fixture {
	t.Helper()
	var objects []runtime.Object
	for _, p := range policies {
		p.ResourceVersion = "1"
		objects = append(objects, p)
	}
	// NewClientset needs a schema to track managed fields. applyconfiguration-gen generates none for
	// types with an OpenAPI model package.
	clientset := fake.NewSimpleClientset(objects...) //nolint:staticcheck // SA1019: see above
	clientset.PrependReactor("*", "*", withResourceVersions(clienttesting.ObjectReaction(clientset.Tracker())))
	f := &fixture{t: t, clientset: clientset}
	var err error
	f.Controller, err = New(clientset, &fieldpolicy.SnapshotStore{}, func(name string) { f.forgotten.Store(&name) })
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// withResourceVersions sets resource versions, which the tracker of the fake clientset does not.
func withResourceVersions(next clienttesting.ReactionFunc) clienttesting.ReactionFunc {
	var version atomic.Int64
	version.Store(1)
	return func(action clienttesting.Action) (bool, runtime.Object, error) {
		if write, ok := action.(interface{ GetObject() runtime.Object }); ok {
			write.GetObject().(*v1alpha1.JobUpdatePolicy).ResourceVersion = strconv.FormatInt(version.Add(1), 10)
		}
		handled, obj, err := next(action)
		if list, ok := obj.(*v1alpha1.JobUpdatePolicyList); ok {
			list.ResourceVersion = strconv.FormatInt(version.Load(), 10)
		}
		return handled, obj, err
	}
}

// run runs the controller until the test ends.
func (f *fixture) run() {
	ctx, cancel := context.WithCancel(f.t.Context())
	done := make(chan struct{})
	go func() {
		f.Run(ctx)
		close(done)
	}()
	f.t.Cleanup(func() {
		cancel()
		select {
		case <-done:
		case <-time.After(timeout):
			f.t.Error("Run does not return")
		}
	})
}

// fail makes requests with the verb fail until the returned function is called.
func (f *fixture) fail(verb string, err error) (stop func()) {
	f.clientset.Lock()
	defer f.clientset.Unlock()
	failing := true
	f.clientset.ReactionChain = slices.Insert(f.clientset.ReactionChain, 0, clienttesting.Reactor(&clienttesting.SimpleReactor{
		Verb: verb, Resource: "*", Reaction: func(clienttesting.Action) (bool, runtime.Object, error) { return failing, nil, err },
	}))
	return func() {
		f.clientset.Lock()
		defer f.clientset.Unlock()
		failing = false
	}
}

func (f *fixture) eventually(what string, condition func() bool) {
	f.t.Helper()
	err := wait.PollUntilContextTimeout(f.t.Context(), 5*time.Millisecond, timeout, true, func(context.Context) (bool, error) {
		return condition(), nil
	})
	if err != nil {
		f.t.Fatalf("timed out waiting for: %s", what)
	}
}

func (f *fixture) isReady() bool { return f.Check(nil) == nil }

func (f *fixture) stored(name string) *v1alpha1.JobUpdatePolicy {
	f.t.Helper()
	p, err := f.client.Get(f.t.Context(), name, metav1.GetOptions{})
	if err != nil {
		f.t.Fatal(err)
	}
	return p
}

// readyCondition returns the condition of the stored policy, or an empty one.
func (f *fixture) readyCondition(name string) metav1.Condition {
	f.t.Helper()
	return ptr.Deref(meta.FindStatusCondition(f.stored(name).Status.Conditions, v1alpha1.ConditionReady), metav1.Condition{})
}

// allowsSuspend reports whether the active policies let users suspend Jobs.
func (f *fixture) allowsSuspend() bool {
	f.t.Helper()
	old := &batch.Job{}
	new := old.DeepCopy()
	new.Spec.Suspend = ptr.To(true)
	d, err := f.snapshots.Get().Evaluate(new, old, fieldpolicy.User{Name: "alice"}, func() labels.Set { return nil })
	if err != nil {
		f.t.Fatal(err)
	}
	return d.Outcome == fieldpolicy.Allow
}

func suspendPolicy(name string) *v1alpha1.JobUpdatePolicy {
	p := &v1alpha1.JobUpdatePolicy{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), Generation: 1}}
	p.Spec.Fields = []string{"spec.suspend"}
	v1alpha1.SetDefaults_JobUpdatePolicySpec(&p.Spec)
	return p
}

func bootstrapNames() []string {
	var names []string
	for _, p := range bootstrappolicy.Policies() {
		names = append(names, p.Name)
	}
	return names
}

func TestController_CreatesBootstrapPolicies(t *testing.T) {
	f := newFixture(t)
	if f.isReady() || f.snapshots.HasSynced() {
		t.Error("the controller is ready before it runs")
	}
	f.run()
	f.eventually("readiness", f.isReady)
	for _, wanted := range bootstrappolicy.Policies() {
		p := f.stored(wanted.Name)
		if diff := cmp.Diff(wanted.Spec, p.Spec); diff != "" {
			t.Errorf("%s (-want +got):\n%s", p.Name, diff)
		}
		if p.Labels[policy.BootstrapLabel] != "true" || p.Annotations[policy.AutoUpdateAnnotation] != "true" {
			t.Errorf("%s has labels %v and annotations %v", p.Name, p.Labels, p.Annotations)
		}
	}
	if value, err := testutil.GetGaugeMetricValue(upToDate); err != nil || value != 1 {
		t.Errorf("job_update_policies_up_to_date is %v, %v", value, err)
	}
}

func TestController_RestoresBootstrapPolicies(t *testing.T) {
	for name, tc := range map[string]struct {
		autoUpdate   string
		wantRestored bool
	}{
		"default":                {"true", true},
		"without annotation":     {"", true},
		"auto-update turned off": {"false", false},
	} {
		t.Run(name, func(t *testing.T) {
			policies := bootstrappolicy.Policies()
			modified := policies[0]
			modified.Spec.Fields = []string{"spec.suspend"}
			modified.Annotations = map[string]string{policy.AutoUpdateAnnotation: tc.autoUpdate}
			f := newFixture(t, policies...)
			f.run()
			f.eventually("readiness", f.isReady)
			restored := !slices.Equal(f.stored(modified.Name).Spec.Fields, modified.Spec.Fields)
			if restored != tc.wantRestored {
				t.Errorf("restored: %t, want %t", restored, tc.wantRestored)
			}
			if f.allowsSuspend() == tc.wantRestored {
				t.Errorf("the modified policy is active: %t", !tc.wantRestored)
			}
		})
	}
}

// The server must not start with only some of the bootstrap policies.
func TestController_WaitsForBootstrapPolicies(t *testing.T) {
	f := newFixture(t, suspendPolicy("other"))
	stop := f.fail("create", errors.New("etcd is down"))
	f.run()
	f.eventually("an attempt to create a policy", func() bool {
		return slices.ContainsFunc(f.clientset.Actions(), func(a clienttesting.Action) bool { return a.GetVerb() == "create" })
	})
	if f.isReady() || f.snapshots.HasSynced() {
		t.Error("the controller is ready without bootstrap policies")
	}
	stop()
	f.eventually("readiness", f.isReady)
	for _, name := range bootstrapNames() {
		f.stored(name)
	}
}

func TestController_StartsIfRestoreFails(t *testing.T) {
	policies := bootstrappolicy.Policies()
	policies[0].Spec.Fields = []string{"spec.suspend"}
	f := newFixture(t, policies...)
	stop := f.fail("update", apierrors.NewServiceUnavailable("a webhook is down"))
	f.run()
	f.eventually("readiness", f.isReady)
	if !f.allowsSuspend() {
		t.Error("the stored policy is not active")
	}
	stop()
	f.eventually("restored policy", func() bool { return !f.allowsSuspend() })
}

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

func TestController_CheckStaleness(t *testing.T) {
	f := newFixture(t, append(bootstrappolicy.Policies(), suspendPolicy("p"))...)
	f.run()
	f.eventually("readiness", f.isReady)
	if err := f.checkStaleness(t.Context()); err != nil {
		t.Errorf("without a change: %v", err)
	}
	for name, tc := range map[string]struct {
		list *v1alpha1.JobUpdatePolicyList
		err  error
		want string
	}{
		"unreadable policy": {err: errors.New("cannot be decoded"), want: "cannot be decoded"},
		"missed update": {
			list: &v1alpha1.JobUpdatePolicyList{Items: []v1alpha1.JobUpdatePolicy{{ObjectMeta: metav1.ObjectMeta{Name: "p", UID: "p", Generation: 2}}}},
			want: "policy p has changed",
		},
		"missed create": {
			list: &v1alpha1.JobUpdatePolicyList{Items: []v1alpha1.JobUpdatePolicy{{ObjectMeta: metav1.ObjectMeta{Name: "new"}}}},
			want: "policy new has changed",
		},
		"missed delete": {list: &v1alpha1.JobUpdatePolicyList{}, want: "3 policies are active and 0 are stored"},
	} {
		t.Run(name, func(t *testing.T) {
			reacting := true
			f.clientset.PrependReactor("list", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
				if tc.err != nil {
					return reacting, nil, tc.err
				}
				return reacting, tc.list, nil
			})
			defer func() { reacting = false }()
			if err := f.checkStaleness(t.Context()); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %s", err, tc.want)
			}
		})
	}
}

// A replica that misses changes is not ready until it has them.
func TestController_DetectsStaleness(t *testing.T) {
	f := newFixture(t)
	f.run()
	f.eventually("readiness", f.isReady)
	errStale := errors.New("policies differ")
	f.recordStaleness(errStale)
	if !f.isReady() {
		t.Error("one difference makes the replica not ready")
	}
	f.recordStaleness(errStale)
	if err := f.Check(nil); err == nil || !errors.Is(err, errStale) {
		t.Errorf("after two differences Check returns %v", err)
	}
	f.recordStaleness(nil)
	if !f.isReady() {
		t.Error("the replica does not become ready again")
	}
}

// Policies that cannot be read keep a replica not ready for notReadyLimit. After that, updates of
// Jobs fail with the reason.
func TestController_NotReadyLimit(t *testing.T) {
	t.Run("not loaded", func(t *testing.T) {
		f := newFixture(t)
		var elapsed atomic.Int64
		f.now = func() time.Time { return f.created.Add(time.Duration(elapsed.Load())) }
		stop := f.fail("list", errors.New("no key for policy x"))
		f.run()
		f.eventually("reason", func() bool { return strings.Contains(f.Check(nil).Error(), "no key for policy x") })
		elapsed.Store(int64(notReadyLimit))
		if err := f.Check(nil); err != nil {
			t.Errorf("after the limit Check returns %v", err)
		}
		if err := f.snapshots.Err(); err == nil || !strings.Contains(err.Error(), "no key for policy x") {
			t.Errorf("after the limit updates get %v", err)
		}
		stop()
		f.eventually("policies", func() bool { return f.snapshots.Err() == nil })
	})
	t.Run("outdated", func(t *testing.T) {
		f := newFixture(t)
		now := time.Now()
		f.now = func() time.Time { return now }
		f.snapshots.Set(&fieldpolicy.Snapshot{})
		f.Controller.ready.Store(true)
		errStale := errors.New("policies differ")
		for range stalenessThreshold {
			f.recordStaleness(errStale)
		}
		if err := f.snapshots.Err(); f.isReady() || err != nil {
			t.Errorf("at first the replica is ready or updates get %v", err)
		}
		now = now.Add(notReadyLimit)
		f.recordStaleness(errStale)
		if err := f.snapshots.Err(); !f.isReady() || !errors.Is(err, errStale) {
			t.Errorf("after the limit the replica is not ready, or updates get %v", err)
		}
		f.recordStaleness(nil)
		if err := f.snapshots.Err(); !f.isReady() || err != nil {
			t.Errorf("after recovery the replica is not ready, or updates get %v", err)
		}
	})
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
