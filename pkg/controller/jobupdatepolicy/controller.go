// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package jobupdatepolicy

import (
	"context"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	"github.com/batchgate/batchgate/pkg/fieldpolicy"
	clientset "github.com/batchgate/batchgate/pkg/generated/clientset/versioned"
	policyclient "github.com/batchgate/batchgate/pkg/generated/clientset/versioned/typed/policy/v1alpha1"
	informers "github.com/batchgate/batchgate/pkg/generated/informers/externalversions"
	listers "github.com/batchgate/batchgate/pkg/generated/listers/policy/v1alpha1"
)

const (
	// bootstrapRetryInterval is the time between attempts to write the bootstrap policies.
	bootstrapRetryInterval = time.Second
	// writeTimeout bounds each write of a policy, which the cluster's webhooks may delay.
	writeTimeout = 15 * time.Second
	// notReadyLimit bounds how long policies that cannot be read keep the replica not ready. It is
	// long enough for temporary causes, such as a slow etcd, to end.
	notReadyLimit = 2 * time.Minute
)

// queueKey is the only key of the compile queue, since all policies are compiled together.
const queueKey = "all"

// Controller compiles JobUpdatePolicies and reports their status.
type Controller struct {
	client    policyclient.JobUpdatePolicyInterface
	metadata  MetadataLister
	snapshots *fieldpolicy.SnapshotStore
	factory   informers.SharedInformerFactory
	informer  cache.SharedIndexInformer
	lister    listers.JobUpdatePolicyLister
	// compileQueue holds queueKey if a policy has changed since the last compilation. Its worker
	// does no I/O, so that changes become active immediately.
	compileQueue workqueue.TypedRateLimitingInterface[string]
	status       *statusWriter
	ready        atomic.Bool
	// staleErr is set while the controller misses changes of policies.
	staleErr atomic.Pointer[error]
	forget   func(name string)
	// compiled are the names of the policies in the current snapshot.
	compiled sets.Set[string]
	// now is time.Now, except in tests.
	now func() time.Time
	// notReadyLimit is counted from created before the policies are loaded, and from staleSince
	// after that.
	created, staleSince time.Time
	// differences is the number of consecutive differences that detectStaleness has found.
	differences int
}

// MetadataLister lists the metadata of all JobUpdatePolicies. It is a part of metadata.ResourceInterface.
type MetadataLister interface {
	List(context.Context, metav1.ListOptions) (*metav1.PartialObjectMetadataList, error)
}

// New returns a controller that stores compiled policies in snapshots. It calls forget with the
// name of each policy that was deleted. The clients must connect to the server that the controller
// runs in.
func New(client clientset.Interface, metadata MetadataLister, snapshots *fieldpolicy.SnapshotStore, forget func(name string)) (*Controller, error) {
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithTransform(dropManagedFields))
	policies := factory.Policy().V1alpha1().JobUpdatePolicies()
	c := &Controller{
		now:          time.Now,
		created:      time.Now(),
		client:       client.PolicyV1alpha1().JobUpdatePolicies(),
		metadata:     metadata,
		snapshots:    snapshots,
		forget:       forget,
		factory:      factory,
		informer:     policies.Informer(),
		lister:       policies.Lister(),
		compileQueue: workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[string]()),
	}
	c.status = newStatusWriter(c.client, c.lister)
	enqueue := func() { c.compileQueue.Add(queueKey) }
	if err := c.informer.SetWatchErrorHandlerWithContext(c.handleWatchError); err != nil {
		return nil, err
	}
	_, err := c.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { enqueue() },
		UpdateFunc: c.handleUpdate,
		DeleteFunc: func(any) { enqueue() },
	})
	return c, err
}

// dropManagedFields saves memory. The managed fields of a policy are larger than the policy.
func dropManagedFields(obj any) (any, error) {
	if object, err := meta.Accessor(obj); err == nil {
		object.SetManagedFields(nil)
	}
	return obj, nil
}

// Check is a readiness check. It returns an error until all policies that existed at the start
// are active, and while the controller misses changes of policies, but for at most notReadyLimit.
// After that, reads work and updates of Jobs fail with 503. A fault of etcd affects all replicas,
// and requests that need no policies should not fail because of it.
func (c *Controller) Check(*http.Request) error {
	if !c.ready.Load() {
		if c.now().Sub(c.created) >= notReadyLimit {
			return nil
		}
		return c.snapshots.Err()
	}
	if stale := c.staleErr.Load(); stale != nil && c.snapshots.Err() == nil {
		return *stale
	}
	return nil
}

// handleWatchError stores an error that occurs before the policies are loaded, so that 503 responses
// contain it.
func (c *Controller) handleWatchError(ctx context.Context, r *cache.Reflector, err error) {
	cache.DefaultWatchErrorHandler(ctx, r, err)
	if !c.ready.Load() {
		c.snapshots.SetUnavailable(err)
	}
}

// Run runs the controller until ctx is done.
func (c *Controller) Run(ctx context.Context) {
	ctx = klog.NewContext(ctx, klog.FromContext(ctx).WithName("jobupdatepolicy-controller"))
	c.factory.StartWithContext(ctx)
	defer c.factory.Shutdown()
	if !cache.WaitForCacheSync(ctx.Done(), c.informer.HasSynced) {
		return
	}
	go c.status.run(ctx)
	defer c.status.shutDown()
	go func() {
		<-ctx.Done()
		c.compileQueue.ShutDown()
	}()
	c.bootstrap(ctx)
	<-ctx.Done()
}

// bootstrap writes the bootstrap policies and starts to compile policies. If it cannot write
// them, for example while kube-apiserver and its webhooks are down, it uses the stored ones if
// all exist, and keeps trying. It never starts with only some of the bootstrap policies.
func (c *Controller) bootstrap(ctx context.Context) {
	logger := klog.FromContext(ctx)
	_ = wait.PollUntilContextCancel(ctx, bootstrapRetryInterval, true, func(ctx context.Context) (bool, error) {
		stored, err := ensureBootstrapPolicies(ctx, c.client)
		if err == nil {
			if c.waitForPolicies(ctx, stored) {
				c.start(ctx)
			}
			return true, nil
		}
		if haveBootstrapPolicies(c.lister) {
			c.start(ctx)
		}
		if !c.ready.Load() {
			c.snapshots.SetUnavailable(err)
		}
		logger.Error(err, "Failed to ensure bootstrap policies, will retry", "after", bootstrapRetryInterval)
		return false, nil
	})
}

// waitForPolicies waits until the informer has received these versions of the policies, or newer
// ones. It returns false if ctx is done before that.
func (c *Controller) waitForPolicies(ctx context.Context, policies []*v1alpha1.JobUpdatePolicy) bool {
	return wait.PollUntilContextCancel(ctx, 10*time.Millisecond, true, func(context.Context) (bool, error) {
		received := func(p *v1alpha1.JobUpdatePolicy) bool {
			order, err := resourceversion.CompareResourceVersion(c.informer.LastSyncResourceVersion(), p.ResourceVersion)
			return err == nil && order >= 0
		}
		return !slices.ContainsFunc(policies, func(p *v1alpha1.JobUpdatePolicy) bool { return !received(p) }), nil
	}) == nil
}

// start compiles the policies for the first time and starts the workers. Further calls do
// nothing.
func (c *Controller) start(ctx context.Context) {
	if c.ready.Load() {
		return
	}
	c.compile()
	c.ready.Store(true)
	c.snapshots.SetUnavailable(nil)
	upToDate.Set(1)
	klog.FromContext(ctx).Info("Loaded policies", "count", len(c.informer.GetStore().ListKeys()))
	go c.detectStaleness(ctx)
	go func() {
		for {
			key, shutdown := c.compileQueue.Get()
			if shutdown {
				return
			}
			c.compile()
			c.compileQueue.Done(key)
		}
	}()
}

// handleUpdate queues a compilation if a policy has changed in what Compile reads, or has another UID or
// generation: the status writer only writes versions that were compiled. Each status that a replica
// writes is an update too, and compiling hundreds of thousands of fields takes seconds.
func (c *Controller) handleUpdate(old, new any) {
	before, after := old.(*v1alpha1.JobUpdatePolicy), new.(*v1alpha1.JobUpdatePolicy)
	supported := func(p *v1alpha1.JobUpdatePolicy) *metav1.Condition {
		return meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionSupported)
	}
	if versionOf(before) != versionOf(after) ||
		!equality.Semantic.DeepEqual(before.Spec, after.Spec) || !equality.Semantic.DeepEqual(supported(before), supported(after)) {
		c.compileQueue.Add(queueKey)
	}
}

// compile compiles all policies and queues updates of their status.
func (c *Controller) compile() {
	policies, _ := c.lister.List(labels.Everything()) // reads the cache, which cannot fail
	snapshot, invalid := fieldpolicy.Compile(policies)
	c.snapshots.Set(snapshot)
	names := sets.New[string]()
	for _, p := range policies {
		names.Insert(p.Name)
	}
	for name := range c.compiled.Difference(names) {
		c.forget(name)
	}
	c.compiled = names
	setPolicyCounts(len(policies), len(invalid))
	c.status.enqueue(policies, invalid)
}
