package jobupdatepolicy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
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

// retryInterval is how long to wait before the bootstrap policies are tried again.
const retryInterval = time.Second

// everything is the one key of the queue: policies are compiled together.
const everything = "everything"

// Controller puts policies into force.
type Controller struct {
	client   policyclient.JobUpdatePolicyInterface
	source   *fieldpolicy.Source
	factory  informers.SharedInformerFactory
	informer cache.SharedIndexInformer
	lister   listers.JobUpdatePolicyLister
	queue    workqueue.TypedRateLimitingInterface[string]
	ready    atomic.Bool
	// reported is the generation of each policy whose status this controller has seen to. It
	// writes one only once: replicas of two releases may disagree about a policy, and would
	// otherwise go on correcting each other.
	reported map[types.UID]int64
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
		queue:    workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[string]()),
		reported: map[types.UID]int64{},
	}
	_, err = c.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { c.queue.Add(everything) },
		UpdateFunc: func(any, any) { c.queue.Add(everything) },
		DeleteFunc: func(any) { c.queue.Add(everything) },
	})
	return c, err
}

// Check returns nil once all policies that there were at the start are in force.
func (c *Controller) Check(*http.Request) error {
	if !c.ready.Load() {
		return errors.New("the JobUpdatePolicies are not loaded yet")
	}
	return nil
}

// Run puts policies into force until ctx is done.
func (c *Controller) Run(ctx context.Context) {
	logger := klog.FromContext(ctx).WithName("policies")
	ctx = klog.NewContext(ctx, logger)
	defer c.queue.ShutDown()

	var wanted []*v1alpha1.JobUpdatePolicy
	err := wait.PollUntilContextCancel(ctx, retryInterval, true, func(ctx context.Context) (bool, error) {
		var err error
		if wanted, err = bootstrap(ctx, c.client); err != nil {
			logger.Error(err, "Bootstrapping policies, trying again", "after", retryInterval)
		}
		return err == nil, nil
	})
	if err != nil {
		return
	}
	c.factory.StartWithContext(ctx)
	defer c.factory.Shutdown()
	if !c.awaitPolicies(ctx, wanted) {
		return
	}
	if err := c.sync(ctx); err != nil {
		logger.Error(err, "Reporting about policies, trying again") // the informer has queued it
	}
	c.ready.Store(true)
	logger.Info("Loaded policies", "count", len(c.informer.GetStore().ListKeys()))

	go func() {
		<-ctx.Done()
		c.queue.ShutDown()
	}()
	for c.next(ctx) {
	}
}

// awaitPolicies waits until the informer has seen the policies, in these versions.
func (c *Controller) awaitPolicies(ctx context.Context, wanted []*v1alpha1.JobUpdatePolicy) bool {
	if !cache.WaitForCacheSync(ctx.Done(), c.informer.HasSynced) {
		return false
	}
	return wait.PollUntilContextCancel(ctx, 10*time.Millisecond, true, func(context.Context) (bool, error) {
		for _, p := range wanted {
			order, err := resourceversion.CompareResourceVersion(c.informer.LastSyncResourceVersion(), p.ResourceVersion)
			if err != nil || order < 0 {
				return false, nil
			}
		}
		return true, nil
	}) == nil
}

// next handles what is in the queue, and reports false once that is shut down.
func (c *Controller) next(ctx context.Context) bool {
	key, shutdown := c.queue.Get()
	if shutdown {
		return false
	}
	defer c.queue.Done(key)
	if err := c.sync(ctx); err != nil && ctx.Err() == nil {
		klog.FromContext(ctx).Error(err, "Reporting about policies, trying again")
		c.queue.AddRateLimited(key)
		return true
	}
	c.queue.Forget(key)
	return true
}

// sync compiles all policies and puts them into force, and then reports about each. The
// error is of reporting.
func (c *Controller) sync(ctx context.Context) error {
	policies, err := c.lister.List(labels.Everything())
	if err != nil {
		return err
	}
	snapshot, wrong := fieldpolicy.Compile(policies)
	c.source.Store(snapshot)
	countPolicies(len(policies), len(wrong))

	var errs []error
	reported := make(map[types.UID]int64, len(policies))
	for _, p := range policies {
		if c.reported[p.UID] != p.Generation {
			switch err := c.report(ctx, p, wrong[p.Name]); {
			case apierrors.IsConflict(err), apierrors.IsNotFound(err):
				continue // the policy has changed: there is an event to come
			case err != nil:
				errs = append(errs, fmt.Errorf("policy %s: %w", p.Name, err))
				continue
			}
		}
		reported[p.UID] = p.Generation
	}
	c.reported = reported
	return errors.Join(errs...)
}

// report writes into the status of a policy what is wrong with it.
func (c *Controller) report(ctx context.Context, p *v1alpha1.JobUpdatePolicy, wrong error) error {
	updated := p.DeepCopy()
	if !setStatus(updated, wrong) {
		return nil
	}
	_, err := c.client.UpdateStatus(ctx, updated, metav1.UpdateOptions{})
	return err
}
