package takeover

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
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
	frozen types.UID
}

func (e *Export) run(ctx context.Context, r *Rollback, serving *Serving) error {
	c := r.Cluster
	err := runAll(ctx, []check{
		{name: "permissions", run: func(ctx context.Context) (string, error) {
			return c.CheckPermissions(ctx, append(movePermissions(), apiServicePermissions()...))
		}},
		{name: "others", run: c.checkFrozen(r.Resume)},
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
		return err
	}
	return runSteps(ctx, []check{
		{name: "unfreeze", run: func(ctx context.Context) (string, error) {
			if err := c.allow(ctx, guardName, ""); err != nil {
				return "", err
			}
			return c.thaw(e.frozen)(ctx)
		}},
		{name: "discovery", run: c.renewDiscovery},
		{name: "controllers", run: e.Controllers.await(c, e.Progress)},
	}, r.Report)
}

// move freezes, copies and gives back. An error means that Batchgate serves as before, unless it
// says otherwise.
func (e *Export) move(ctx context.Context, r *Rollback, serving *Serving) error {
	c := r.Cluster
	flipped := false
	err := runSteps(ctx, []check{
		{name: "freeze", run: func(ctx context.Context) (detail string, err error) {
			e.frozen, detail, err = c.freeze(ctx, r.Resume, c.Kube)
			return detail, err
		}},
		{name: "copy", run: e.copyAll(c)},
		{name: "still frozen", run: func(ctx context.Context) (string, error) { return c.holds(e.frozen)(ctx) }},
		{name: "roll back", run: func(ctx context.Context) (string, error) {
			flipped = true // or it may have been
			return BatchAPIService + " is given to kube-apiserver", r.giveBack(ctx)
		}, inverse: "kubectl batchgate import --overwrite"},
		{name: "jobs through kube-apiserver", run: r.awaitJobs},
		{name: "objects through kube-apiserver", run: func(ctx context.Context) (string, error) { return same(ctx, c.Kube, e.copied) }},
		{name: "every kube-apiserver", run: c.awaitSwitched(e.Etcd)},
		{name: "frozen all the time", run: func(ctx context.Context) (string, error) { return c.holds(e.frozen)(ctx) }},
	}, r.Report)
	if err == nil {
		return nil
	}
	if errors.Is(err, errFrozen) {
		return fmt.Errorf("%w: %w", err, ErrRefused)
	}
	return e.undo(ctx, c, serving, flipped, err)
}

// undo lets Batchgate serve again, which has what it had.
func (e *Export) undo(ctx context.Context, c *Cluster, serving *Serving, flipped bool, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Minute)
	defer cancel()
	var undoErr error
	if flipped {
		var now *Serving
		if now, undoErr = c.Serving(ctx); undoErr == nil {
			_, undoErr = c.patch(ctx, BatchAPIService, takeoverPatch(*serving.Service, serving.CABundle, with(serving.Injected, ownEtcd), now.resourceVersion))
		}
	}
	if undoErr == nil && e.frozen != "" {
		_, undoErr = c.thaw(e.frozen)(ctx)
	}
	if undoErr != nil {
		return fmt.Errorf("%w, and taking it back: %v", err, undoErr)
	}
	return fmt.Errorf("%w: Batchgate serves as before: %w", err, ErrRolledBack)
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
