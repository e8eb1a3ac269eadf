// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package jobupdatepolicy

import (
	"context"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/kubernetes/pkg/apis/batch"
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	"github.com/batchgate/batchgate/pkg/fieldpolicy"
	"github.com/batchgate/batchgate/pkg/generated/clientset/versioned/fake"
	policyclient "github.com/batchgate/batchgate/pkg/generated/clientset/versioned/typed/policy/v1alpha1"
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
	f.Controller, err = New(clientset, metadataLister{clientset.PolicyV1alpha1().JobUpdatePolicies()}, &fieldpolicy.SnapshotStore{}, func(name string) { f.forgotten.Store(&name) })
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// metadataLister lists the metadata of policies as the server does.
type metadataLister struct {
	policyclient.JobUpdatePolicyInterface
}

func (l metadataLister) List(ctx context.Context, options metav1.ListOptions) (*metav1.PartialObjectMetadataList, error) {
	policies, err := l.JobUpdatePolicyInterface.List(ctx, options)
	if err != nil {
		return nil, err
	}
	list := &metav1.PartialObjectMetadataList{ListMeta: policies.ListMeta}
	for i := range policies.Items {
		list.Items = append(list.Items, *meta.AsPartialObjectMetadata(&policies.Items[i]))
	}
	return list, nil
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
