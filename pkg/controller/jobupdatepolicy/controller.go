package jobupdatepolicy

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
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
	// retryInterval is how long to wait before the bootstrap policies are tried again.
	retryInterval = time.Second
	// writeTimeout bounds a write of a policy, which webhooks of the cluster may hold up.
	writeTimeout = 15 * time.Second
)

// everything is the one key of the queue of changes: policies are compiled together.
const everything = "everything"

// Controller puts policies into force.
type Controller struct {
	client   policyclient.JobUpdatePolicyInterface
	source   *fieldpolicy.Source
	factory  informers.SharedInformerFactory
	informer cache.SharedIndexInformer
	lister   listers.JobUpdatePolicyLister
	// changes has a key if policies have to be compiled again. It waits for nothing but the
	// compiling, so that a change is in force at once.
	changes  workqueue.TypedRateLimitingInterface[string]
	reporter *reporter
	ready    atomic.Bool
	// stale is set while changes of policies are not seen.
	stale atomic.Pointer[staleness]
}

// New returns a controller that reads policies by the config, which is that of this very
// server, and stores what they come to in source.
func New(config *rest.Config, source *fieldpolicy.Source) (*Controller, error) {
	config = rest.AddUserAgent(rest.CopyConfig(config), "policy-controller")
	config.ContentType = runtime.ContentTypeJSON
	client, err := clientset.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	policies := factory.Policy().V1alpha1().JobUpdatePolicies()
	c := &Controller{
		client:   client.PolicyV1alpha1().JobUpdatePolicies(),
		source:   source,
		factory:  factory,
		informer: policies.Informer(),
		lister:   policies.Lister(),
		changes:  workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[string]()),
	}
	c.reporter = newReporter(c.client, c.lister)
	changed := func() { c.changes.Add(everything) }
	_, err = c.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { changed() },
		UpdateFunc: func(any, any) { changed() },
		DeleteFunc: func(any) { changed() },
	})
	return c, err
}

// Check returns nil while the policies are in force, all that there were at the start, and
// changes of them are seen.
func (c *Controller) Check(*http.Request) error {
	if !c.ready.Load() {
		return errors.New("the JobUpdatePolicies are not loaded yet")
	}
	if stale := c.stale.Load(); stale != nil {
		return stale
	}
	return nil
}

// Run puts policies into force until ctx is done.
func (c *Controller) Run(ctx context.Context) {
	ctx = klog.NewContext(ctx, klog.FromContext(ctx).WithName("policies"))
	c.factory.StartWithContext(ctx)
	defer c.factory.Shutdown()
	if !cache.WaitForCacheSync(ctx.Done(), c.informer.HasSynced) {
		return
	}
	go c.reporter.run(ctx)
	defer c.reporter.shutDown()
	go func() {
		<-ctx.Done()
		c.changes.ShutDown()
	}()
	c.start(ctx)
	<-ctx.Done()
}

// start bootstraps policies, and puts policies into force: once the bootstrap ones are as they
// should be, or, where they cannot be made so, once all of them are there. An admin may have
// narrowed them, and the server may be unable to write, as while kube-apiserver is down; what
// is stored holds until the next try.
func (c *Controller) start(ctx context.Context) {
	logger := klog.FromContext(ctx)
	_ = wait.PollUntilContextCancel(ctx, retryInterval, true, func(ctx context.Context) (bool, error) {
		wanted, err := bootstrap(ctx, c.client)
		switch {
		case err == nil:
			if c.awaitPolicies(ctx, wanted) {
				c.open(ctx)
			}
			return true, nil
		case c.haveBootstrap():
			c.open(ctx)
		}
		logger.Error(err, "Bootstrapping policies, trying again", "after", retryInterval)
		return false, nil
	})
}

// haveBootstrap reports whether the bootstrap policies are there, whatever they say.
func (c *Controller) haveBootstrap() bool {
	return !slices.ContainsFunc(fieldpolicy.Bootstrap(), func(p *v1alpha1.JobUpdatePolicy) bool {
		_, err := c.lister.Get(p.Name)
		return err != nil
	})
}

// awaitPolicies waits until the informer has seen the policies, in these versions.
func (c *Controller) awaitPolicies(ctx context.Context, wanted []*v1alpha1.JobUpdatePolicy) bool {
	return wait.PollUntilContextCancel(ctx, 10*time.Millisecond, true, func(context.Context) (bool, error) {
		seen := func(p *v1alpha1.JobUpdatePolicy) bool {
			order, err := resourceversion.CompareResourceVersion(c.informer.LastSyncResourceVersion(), p.ResourceVersion)
			return err == nil && order >= 0
		}
		return !slices.ContainsFunc(wanted, func(p *v1alpha1.JobUpdatePolicy) bool { return !seen(p) }), nil
	}) == nil
}

// open puts the policies into force for the first time, and from then on follows them.
func (c *Controller) open(ctx context.Context) {
	if c.ready.Load() {
		return
	}
	c.compile()
	c.ready.Store(true)
	upToDate.Set(1)
	klog.FromContext(ctx).Info("Loaded policies", "count", len(c.informer.GetStore().ListKeys()))
	go c.probe(ctx)
	go func() {
		for {
			key, shutdown := c.changes.Get()
			if shutdown {
				return
			}
			c.compile()
			c.changes.Done(key)
		}
	}()
}

// compile puts all policies into force, and has what is wrong with them reported.
func (c *Controller) compile() {
	policies, _ := c.lister.List(labels.Everything()) // from memory: there is no error
	snapshot, wrong := fieldpolicy.Compile(policies)
	c.source.Store(snapshot)
	countPolicies(len(policies), len(wrong))
	c.reporter.compiled(policies, wrong)
}
