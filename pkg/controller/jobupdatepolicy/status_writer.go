// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package jobupdatepolicy

import (
	"context"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	policyclient "github.com/batchgate/batchgate/pkg/generated/clientset/versioned/typed/policy/v1alpha1"
	listers "github.com/batchgate/batchgate/pkg/generated/listers/policy/v1alpha1"
)

// version identifies the spec of a policy.
type version struct {
	uid        types.UID
	generation int64
}

func versionOf(p metav1.Object) version { return version{p.GetUID(), p.GetGeneration()} }

// statusWriter writes the status of policies. It has its own queue because writes may be slow:
// they go through the cluster's admission.
type statusWriter struct {
	client policyclient.JobUpdatePolicyInterface
	lister listers.JobUpdatePolicyLister
	queue  workqueue.TypedRateLimitingInterface[string] // names of policies

	mu sync.Mutex
	// compileErrs has an entry for each compiled version, nil if all of it is active.
	compileErrs map[version]error
	// written are the versions whose status is up to date. The writer writes each version once:
	// replicas of two releases may disagree about a policy, and would otherwise overwrite each
	// other's status again and again.
	written map[version]bool
}

func newStatusWriter(client policyclient.JobUpdatePolicyInterface, lister listers.JobUpdatePolicyLister) *statusWriter {
	return &statusWriter{
		client: client, lister: lister, written: map[version]bool{},
		queue: workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[string]()),
	}
}

// enqueue queues the compiled policies whose status is not written yet. invalid has the errors
// of compiling them, by name.
func (w *statusWriter) enqueue(policies []*v1alpha1.JobUpdatePolicy, invalid map[string]error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	written := make(map[version]bool, len(policies)) // without deleted policies
	w.compileErrs = make(map[version]error, len(policies))
	for _, p := range policies {
		v := versionOf(p)
		w.compileErrs[v] = invalid[p.Name]
		if w.written[v] {
			written[v] = true
			continue
		}
		w.queue.Add(p.Name)
	}
	w.written = written
}

func (w *statusWriter) shutDown() { w.queue.ShutDown() }

func (w *statusWriter) run(ctx context.Context) {
	for {
		name, shutdown := w.queue.Get()
		if shutdown {
			return
		}
		if err := w.sync(ctx, name); err != nil && ctx.Err() == nil {
			// After a conflict, or a deletion, the informer will soon have the change.
			if !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
				klog.FromContext(ctx).Error(err, "Failed to update JobUpdatePolicy status, will retry", "policy", klog.KRef("", name))
			}
			w.queue.AddRateLimited(name)
		} else {
			w.queue.Forget(name)
		}
		w.queue.Done(name)
	}
}

// sync writes the status of a policy unless it is up to date.
func (w *statusWriter) sync(ctx context.Context, name string) error {
	p, err := w.lister.Get(name)
	if err != nil {
		return nil // the policy was deleted
	}
	if meta.IsStatusConditionFalse(p.Status.Conditions, v1alpha1.ConditionSupported) {
		return nil // the storage has set the status, and the API rejects updates
	}
	v := versionOf(p)
	w.mu.Lock()
	compileErr, compiled := w.compileErrs[v]
	done := w.written[v]
	w.mu.Unlock()
	if !compiled || done {
		return nil // a version that is not compiled yet will be queued again
	}
	updated := p.DeepCopy()
	if setReadyCondition(updated, compileErr) {
		ctx, cancel := context.WithTimeout(ctx, writeTimeout)
		defer cancel()
		if _, err := w.client.UpdateStatus(ctx, updated, metav1.UpdateOptions{}); err != nil {
			return err
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.written[v] = true
	return nil
}
