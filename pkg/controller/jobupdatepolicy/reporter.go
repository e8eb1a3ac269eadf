package jobupdatepolicy

import (
	"context"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	policyclient "github.com/batchgate/batchgate/pkg/generated/clientset/versioned/typed/policy/v1alpha1"
	listers "github.com/batchgate/batchgate/pkg/generated/listers/policy/v1alpha1"
)

// version names a policy as it was at a time.
type version struct {
	uid        types.UID
	generation int64
}

func versionOf(p *v1alpha1.JobUpdatePolicy) version { return version{p.UID, p.Generation} }

// reporter writes into the status of policies what has become of them. It may take its time:
// writes go through the cluster's admission.
type reporter struct {
	client policyclient.JobUpdatePolicyInterface
	lister listers.JobUpdatePolicyLister
	queue  workqueue.TypedRateLimitingInterface[string] // names of policies

	mu sync.Mutex
	// wrong is what was wrong with each version of a policy that is in force, nil for nothing.
	wrong map[version]error
	// reported are the versions whose status this reporter has seen to. It writes each only
	// once: replicas of two releases may disagree about a policy, and would otherwise go on
	// correcting each other.
	reported map[version]bool
}

func newReporter(client policyclient.JobUpdatePolicyInterface, lister listers.JobUpdatePolicyLister) *reporter {
	return &reporter{
		client: client, lister: lister, reported: map[version]bool{},
		queue: workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[string]()),
	}
}

// compiled takes note of what was wrong with the policies, by name.
func (r *reporter) compiled(policies []*v1alpha1.JobUpdatePolicy, wrong map[string]error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	reported := make(map[version]bool, len(policies))
	r.wrong = make(map[version]error, len(policies))
	for _, p := range policies {
		v := versionOf(p)
		r.wrong[v] = wrong[p.Name]
		if r.reported[v] {
			reported[v] = true
			continue
		}
		r.queue.Add(p.Name)
	}
	r.reported = reported // those that are gone are forgotten
}

func (r *reporter) shutDown() { r.queue.ShutDown() }

func (r *reporter) run(ctx context.Context) {
	for {
		name, shutdown := r.queue.Get()
		if shutdown {
			return
		}
		if err := r.report(ctx, name); err != nil && ctx.Err() == nil {
			klog.FromContext(ctx).Error(err, "Writing the status of a policy, trying again", "policy", name)
			r.queue.AddRateLimited(name)
		} else {
			r.queue.Forget(name)
		}
		r.queue.Done(name)
	}
}

// report writes the status of a policy, if it is not written yet.
func (r *reporter) report(ctx context.Context, name string) error {
	p, err := r.lister.Get(name)
	if err != nil {
		return nil // it is gone
	}
	v := versionOf(p)
	r.mu.Lock()
	wrong, known := r.wrong[v]
	done := r.reported[v]
	r.mu.Unlock()
	if !known || done {
		return nil // one that is not known yet is about to be compiled
	}
	updated := p.DeepCopy()
	if setStatus(updated, wrong) {
		ctx, cancel := context.WithTimeout(ctx, writeTimeout)
		defer cancel()
		_, err := r.client.UpdateStatus(ctx, updated, metav1.UpdateOptions{})
		if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
			return nil // it has changed: there is an event to come
		}
		if err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reported[v] = true
	return nil
}
