package takeover

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
)

// Rollback gives v1.batch back to kube-apiserver. Where both servers use one etcd it asks nothing
// of Batchgate.
type Rollback struct {
	Cluster *Cluster
	Report  func(Result)
	// DryRun says what would be done.
	DryRun bool
	// Export moves Jobs back from an etcd of Batchgate's own. Where there is such a one and this
	// is nil, rolling back is refused.
	Export *Export
	// Resume also ends what an import or a rollback has left that was killed.
	Resume bool
}

// Run rolls back. It succeeds where there is nothing to do.
func (r *Rollback) Run(ctx context.Context) error {
	serving, err := r.Cluster.Serving(ctx)
	missing := apierrors.IsNotFound(err)
	if missing {
		serving = &Serving{}
	} else if err != nil {
		return err
	}
	if serving.Service != nil && serving.OwnEtcd {
		if r.Export == nil {
			return fmt.Errorf("the Jobs are in an etcd of Batchgate's own, and kube-apiserver has those of before they were moved: it would run again what has ended, and the garbage collector would delete the Pods of what is new. "+
				"Give the cluster's etcd with --etcd-servers, and they are moved back: %w", ErrRefused)
		}
		return r.Export.run(ctx, r, serving)
	}
	inverse := ""
	if serving.Service != nil {
		inverse = "kubectl batchgate takeover"
	}
	if r.DryRun && serving.Service == nil {
		r.Report(Result{Name: "roll back", Detail: BatchAPIService + " is served by kube-apiserver already"})
		return nil
	}
	if r.DryRun {
		r.Report(Result{Name: "roll back", Detail: fmt.Sprintf("would give %s from %s to kube-apiserver", BatchAPIService, serving.Server()), Inverse: inverse})
		return nil
	}
	renew := true
	switch {
	case missing:
		renew = false
		// Somebody has deleted it; kube-apiserver makes it only when it starts.
		if err := r.Cluster.create(ctx, rollbackPatch()); err != nil {
			return fmt.Errorf("making APIService %s: %w", BatchAPIService, err)
		}
		r.Report(Result{Name: "roll back", Detail: BatchAPIService + " was missing, and is made anew for kube-apiserver"})
	case serving.Service == nil && serving.AutoManaged:
		fresh, err := r.Cluster.discovered(ctx)
		if err != nil {
			return err
		}
		renew = !fresh
		r.Report(Result{Name: "roll back", Detail: BatchAPIService + " is served by kube-apiserver already"})
	default:
		if err := r.giveBack(ctx); err != nil {
			return err
		}
		r.Report(Result{Name: "roll back", Detail: BatchAPIService + " is given to kube-apiserver", Inverse: inverse})
	}
	steps := []check{{name: "jobs through kube-apiserver", run: r.awaitJobs}}
	if renew {
		steps = append(steps, check{name: "discovery", run: r.Cluster.renewDiscovery})
	}
	if err := runSteps(ctx, steps, r.Report); err != nil {
		return err
	}
	if err := r.endImport(ctx, serving.Importing); err != nil || r.Export == nil {
		return err
	}
	// The way back from an own etcd, begun earlier: what was left was the controllers' restart.
	return runSteps(ctx, []check{{name: "controllers", run: r.Export.Controllers.await(r.Cluster, r.Export.Progress)}}, r.Report)
}

// giveBack patches the APIService. An error means that it is as it was: where only the answer was
// lost, a look tells.
func (r *Rollback) giveBack(ctx context.Context) error {
	_, err := r.Cluster.patch(ctx, BatchAPIService, rollbackPatch())
	if err == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if after, readErr := r.Cluster.Serving(ctx); readErr == nil && after.Service == nil {
		return nil
	}
	return fmt.Errorf("patching APIService %s: %w", BatchAPIService, err)
}

// endImport lets writes through where an import has left them refused.
func (r *Rollback) endImport(ctx context.Context, importing bool) error {
	frozen, err := r.Cluster.frozen(ctx)
	if apierrors.IsForbidden(err) {
		return nil // whoever may not see it cannot have left it
	}
	if err != nil {
		return err
	}
	guarded, err := r.Cluster.bound(ctx, guardName)
	switch {
	case err != nil:
		return err
	case !frozen && !guarded:
		return nil
	case importing || frozen && r.Resume:
	case frozen:
		return errFrozen
	default:
		return errGuarded
	}
	if err := r.Cluster.allow(ctx, guardName, ""); err != nil {
		return err
	}
	return runSteps(ctx, []check{{name: "unfreeze", run: r.Cluster.thaw("")}}, r.Report)
}

// errGuarded is the error of whoever has given v1.batch back by hand.
var errGuarded = fmt.Errorf("the Jobs are in an etcd of Batchgate's own, and kube-apiserver, which has those of before, is kept from writing: "+
	"run kubectl batchgate import, which takes over again, or, to lose the Jobs there, kubectl delete validatingadmissionpolicybinding %s", guardName)

// awaitJobs waits until kube-apiserver answers about Jobs by itself.
func (r *Rollback) awaitJobs(ctx context.Context) (string, error) {
	began := time.Now()
	var last error
	err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		serving, err := r.Cluster.Serving(ctx)
		if err != nil {
			return false, err
		}
		if serving.Service != nil {
			return false, fmt.Errorf("%s was given to %s meanwhile", BatchAPIService, serving.Server())
		}
		_, last = r.Cluster.Kube.BatchV1().Jobs(metav1.NamespaceAll).List(ctx, metav1.ListOptions{Limit: 1})
		return serving.Available == string(metav1.ConditionTrue) && serving.Reason == reasonLocal && last == nil, nil
	})
	if err != nil {
		return "", errors.Join(err, last)
	}
	return "after " + time.Since(began).Round(10*time.Millisecond).String(), nil
}
