package takeover

import (
	"context"
	"errors"
	"fmt"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Export moves Jobs and CronJobs, as they are, from an etcd of Batchgate's own back to that of
// the cluster. Batchgate must serve. It is the inverse of Import.
type Export struct {
	// Etcd is the one that kube-apiserver keeps Jobs in.
	Etcd *Store
	// Controllers says how the controllers are looked at afterwards. The revisions go back with
	// this move: a watch that is resumed waits for one that never comes, until its controller is
	// restarted.
	Controllers Controllers
	// Progress is told of what takes long.
	Progress func(string)

	copied map[string]sum
}

func (e *Export) run(ctx context.Context, r *Rollback, serving *Serving) error {
	c := r.Cluster
	err := runAll(ctx, []check{
		{name: "permissions", run: func(ctx context.Context) (string, error) {
			return c.CheckPermissions(ctx, append(movePermissions(), authorizationv1.ResourceAttributes{Group: apiServices.Group, Resource: apiServices.Resource, Name: BatchAPIService, Verb: "patch"}))
		}},
		{name: "current server", run: func(context.Context) (string, error) {
			if serving.Available != string(metav1.ConditionTrue) {
				return "", fmt.Errorf("%s is not available (%s): only Batchgate can read the Jobs: start it first", BatchAPIService, serving.Reason)
			}
			return serving.Server(), nil
		}},
		{name: "etcd", run: func(ctx context.Context) (string, error) {
			if err := usesStore(ctx, c.Kube.CoreV1().RESTClient(), "namespaces", e.Etcd); err != nil {
				return "", fmt.Errorf("%w: give the --etcd-servers of kube-apiserver", err)
			}
			return "is that of kube-apiserver", nil
		}},
		{name: "canary", run: e.Controllers.check(c)},
	}, r.Report)
	if err != nil {
		return fmt.Errorf("%w: %w", err, ErrRefused)
	}
	if r.DryRun {
		r.Report(Result{Name: "roll back", Detail: fmt.Sprintf("would refuse writes, copy Jobs and CronJobs, and give %s from %s to kube-apiserver", BatchAPIService, serving.Server())})
		return nil
	}
	if err := e.move(ctx, r, serving); err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		return errors.Join(err, c.thaw(ctx))
	}
	return runSteps(ctx, []check{
		{name: "unfreeze", run: c.thawAndWait},
		{name: "discovery", run: c.renewDiscovery},
		{name: "controllers", run: e.Controllers.await(c, e.Progress)},
	}, r.Report)
}

// move freezes, copies and gives back. An error means that Batchgate serves as before.
func (e *Export) move(ctx context.Context, r *Rollback, serving *Serving) error {
	c := r.Cluster
	err := runSteps(ctx, []check{
		{name: "freeze", run: func(ctx context.Context) (string, error) { return c.freeze(ctx, c.Kube) }},
		{name: "copy", run: e.copyAll(c)},
		{name: "roll back", run: func(ctx context.Context) (string, error) {
			return BatchAPIService + " is given to kube-apiserver", r.giveBack(ctx)
		}, inverse: "kubectl batchgate import --overwrite"},
	}, r.Report)
	if err != nil {
		return fmt.Errorf("%w: %w", err, ErrRefused)
	}
	err = runSteps(ctx, []check{
		{name: "jobs through kube-apiserver", run: r.awaitJobs},
		{name: "objects through kube-apiserver", run: func(ctx context.Context) (string, error) { return same(ctx, c.Kube, e.copied) }},
	}, r.Report)
	if err == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	again, undoErr := c.Serving(ctx)
	if undoErr == nil {
		_, undoErr = c.patch(ctx, BatchAPIService, takeoverPatch(*serving.Service, serving.CABundle, asOwn(serving.Injected), again.resourceVersion))
	}
	if undoErr != nil {
		return fmt.Errorf("%w, and taking over again: %w", err, undoErr)
	}
	return fmt.Errorf("%w: Batchgate serves again: %w", err, ErrRefused)
}

func (e *Export) copyAll(c *Cluster) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		var err error
		if e.copied, err = copyTo(ctx, c.Kube, e.Etcd, e.Progress); err != nil {
			return "", err
		}
		return same(ctx, c.Kube, e.copied)
	}
}
