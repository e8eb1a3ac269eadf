package takeover

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
)

// revisionMargin is by how much the revisions of an own etcd must be above those of the cluster
// at least: the cluster's etcd goes on counting.
const revisionMargin = 1_000_000_000

// Import moves Jobs and CronJobs, as they are, to an etcd of Batchgate's own, and takes over.
// Writes are refused meanwhile. Its Takeover says of what and to whom.
type Import struct {
	Takeover
	// Etcd is that of Batchgate.
	Etcd *Store
	// Overwrite lets Jobs be lost that the etcd has from an earlier time.
	Overwrite bool
	// Resume goes on where writes are refused already, by an import that was killed.
	Resume bool
	// Controllers says how the controllers are looked at afterwards.
	Controllers Controllers
	// Progress is told of what takes long.
	Progress func(string)

	// returning is set where v1.batch was given back by hand, and nobody could write since.
	returning bool
	cluster   string
	copied    map[string]sum
	frozen    types.UID
}

// Run imports. Its errors are those of Takeover.Run. Where it was interrupted it can be run
// again: it begins anew, or goes on with what is left to do.
func (i *Import) Run(ctx context.Context) error {
	before, err := i.Cluster.Serving(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", err, ErrRefused)
	}
	if before.Importing {
		return fmt.Errorf("an import was interrupted, or is at work: run %s if none is, then this again: %w", rollbackCommand, ErrRefused)
	}
	if before.by(i.Service) && before.OwnEtcd {
		i.Report(Result{Name: "take over", Detail: BatchAPIService + " is served by " + i.Service.String() + " from its own etcd already"})
		return i.conclude(ctx)
	}
	if err := runAll(ctx, i.checks(), i.Report); err != nil {
		return fmt.Errorf("%w: %w", err, ErrRefused)
	}
	if i.DryRun {
		i.Report(Result{Name: "import", Detail: "would refuse writes, copy Jobs and CronJobs, and give " + BatchAPIService + " to " + i.Service.String()})
		return nil
	}
	begin := i.move
	if i.returning {
		begin = i.takeOverAgain
	}
	if err := begin(ctx, before); err != nil {
		return err
	}
	return i.conclude(ctx)
}

// checks must pass before anything is changed.
func (i *Import) checks() []check {
	return []check{
		{name: "permissions", run: i.checkImportPermissions},
		{name: "current server", run: i.checkNative},
		{name: "others", run: i.Cluster.checkFrozen(i.Resume)},
		{name: "service", run: i.checkService},
		{name: "server", run: i.checkServer},
		{name: "versions", run: i.checkVersions},
		{name: "discovery", run: i.checkDiscovery},
		{name: "etcd", run: i.checkEtcd},
		{name: "revisions", run: i.checkRevisions},
		{name: "canary", run: i.Controllers.check(i.Cluster)},
	}
}

func (i *Import) checkImportPermissions(ctx context.Context) (string, error) {
	return i.Cluster.CheckPermissions(ctx, append(i.permissions(), movePermissions()...))
}

func (i *Import) checkNative(ctx context.Context) (string, error) {
	serving, err := i.Cluster.Serving(ctx)
	if err == nil && serving.Service != nil {
		err = fmt.Errorf("%s is served by %s: roll that back first", BatchAPIService, serving.Server())
	}
	return "kube-apiserver", err
}

// checkEtcd finds out whether the etcd is the server's, and may be written to.
func (i *Import) checkEtcd(ctx context.Context) (string, error) {
	direct, err := i.connect(ctx)
	if err != nil {
		return "", err
	}
	if err := usesStore(ctx, direct.BatchV1().RESTClient(), "jobs", i.Etcd); err != nil {
		return "", fmt.Errorf("%w: give the --etcd-servers of Batchgate", err)
	}
	if i.cluster, err = i.Cluster.uid(ctx); err != nil {
		return "", err
	}
	mark, err := i.Etcd.marker(ctx)
	if err != nil {
		return "", err
	}
	guarded, err := i.Cluster.bound(ctx, guardName)
	if err != nil {
		return "", err
	}
	sums, err := i.Etcd.sums(ctx)
	switch {
	case err != nil:
		return "", err
	case mark != nil && mark.Cluster != i.cluster:
		return "", errors.New("this etcd has the Jobs of another cluster: each cluster needs one of its own")
	case len(sums) == 0:
		return "has no Jobs yet", nil
	case mark != nil && mark.State == stateServing && guarded:
		i.returning = true
		return fmt.Sprintf("has the %d Jobs and CronJobs that count: %s was given back by hand", len(sums), BatchAPIService), nil
	case mark != nil && mark.State == stateImporting:
		return fmt.Sprintf("has %d copies of an import that was not finished; they are made anew", len(sums)), nil
	case i.Overwrite:
		return fmt.Sprintf("has %d Jobs and CronJobs, which are replaced", len(sums)), nil
	}
	return "", fmt.Errorf("it has %d Jobs and CronJobs from an earlier time: see whether they are needed, and give --overwrite to lose them", len(sums))
}

// checkRevisions finds out whether clients that have seen the cluster's revisions will notice
// that the etcd is another one.
func (i *Import) checkRevisions(ctx context.Context) (string, error) {
	list, err := i.Cluster.Kube.BatchV1().Jobs(metav1.NamespaceAll).List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return "", fmt.Errorf("listing Jobs: %w", err)
	}
	cluster, err := strconv.ParseInt(list.ResourceVersion, 10, 64)
	if err != nil {
		return "", fmt.Errorf("reading the cluster's revision: %w", err)
	}
	compacted, err := i.Etcd.compacted(ctx, cluster+revisionMargin)
	if err != nil {
		return "", fmt.Errorf("asking etcd for an old revision: %w", err)
	}
	if !compacted {
		return "", fmt.Errorf("the cluster is at revision %d, and the etcd must have compacted all revisions to %d and more: a controller that resumes a watch would wait in silence. Restore the etcd from a snapshot with --bump-revision and --mark-compacted, as artifacts/overlays/dedicated-etcd does", cluster, cluster+revisionMargin)
	}
	return fmt.Sprintf("those of the cluster, at %d, count as compacted", cluster), nil
}

// move freezes, copies, takes over and verifies. An error means that kube-apiserver serves as
// before, unless it says otherwise.
func (i *Import) move(ctx context.Context, before *Serving) error {
	direct, err := i.connect(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", err, ErrRefused)
	}
	annotations, err := i.Cluster.injected(ctx, i.Service)
	if err != nil {
		return fmt.Errorf("%w: %w", err, ErrRefused)
	}
	flipped := false
	err = runSteps(ctx, []check{
		{"freeze", func(ctx context.Context) (detail string, err error) {
			if err := i.Cluster.guard(ctx); err != nil {
				return "", err
			}
			i.frozen, detail, err = i.Cluster.freeze(ctx, i.Resume, direct)
			return detail, err
		}, rollbackCommand + " --resume"},
		{"copy", i.copyAll, ""},
		{"still frozen", func(ctx context.Context) (string, error) { return i.Cluster.holds(i.frozen)(ctx) }, ""},
		{"take over", func(ctx context.Context) (string, error) {
			err := i.takeOver(ctx, before, with(annotations, importingEtcd))
			flipped = !apierrors.IsConflict(err) // where it is not known, it is undone
			return BatchAPIService + " is given to " + i.Service.String(), err
		}, rollbackCommand},
		{"available", i.awaitAvailable, ""},
		{"objects through kube-apiserver", i.checkCopied, ""},
		{"every kube-apiserver", i.Cluster.awaitSwitched(i.Etcd), ""},
		{"frozen all the time", func(ctx context.Context) (string, error) { return i.Cluster.holds(i.frozen)(ctx) }, ""},
		{"note", i.noteServing, ""},
	}, i.Report)
	if err == nil {
		return nil
	}
	if errors.Is(err, errFrozen) {
		return fmt.Errorf("%w: %w", err, ErrRefused)
	}
	return i.undo(ctx, flipped, err)
}

// takeOverAgain takes over with the Jobs that were imported earlier.
func (i *Import) takeOverAgain(ctx context.Context, before *Serving) error {
	annotations, err := i.Cluster.injected(ctx, i.Service)
	if err == nil {
		err = i.takeOver(ctx, before, with(annotations, ownEtcd))
	}
	if err != nil {
		return fmt.Errorf("%w: %w", err, ErrRefused)
	}
	i.Report(Result{Name: "take over", Detail: BatchAPIService + " is given to " + i.Service.String() + "; nothing is copied"})
	return nil
}

// undo takes back what was begun. Nobody can have written meanwhile: what kube-apiserver has is
// still right. So it is where this was interrupted: half an import is none.
func (i *Import) undo(ctx context.Context, flipped bool, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Minute)
	defer cancel()
	var steps []check
	if flipped {
		rollback := &Rollback{Cluster: i.Cluster, Report: i.Report}
		steps = []check{
			{name: "roll back", run: func(ctx context.Context) (string, error) {
				return BatchAPIService + " is given to kube-apiserver", rollback.giveBack(ctx)
			}},
			{name: "jobs through kube-apiserver", run: rollback.awaitJobs},
			{name: "discovery", run: i.Cluster.renewDiscovery},
		}
	}
	steps = append(steps, check{name: "unfreeze", run: func(ctx context.Context) (string, error) {
		if err := i.Cluster.allow(ctx, guardName, ""); err != nil {
			return "", err
		}
		if i.frozen == "" {
			return "nothing was refused", nil
		}
		return i.Cluster.thaw(i.frozen)(ctx)
	}})
	if undoErr := runSteps(ctx, steps, i.Report); undoErr != nil {
		return fmt.Errorf("%w, and taking it back: %v; run: %s --resume", err, undoErr, rollbackCommand)
	}
	return fmt.Errorf("%w: %w", err, ErrRolledBack)
}

// copyAll copies, and looks whether the server has what kube-apiserver has.
func (i *Import) copyAll(ctx context.Context) (string, error) {
	direct, err := i.connect(ctx)
	if err != nil {
		return "", err
	}
	if err := i.Etcd.mark(ctx, marker{i.cluster, stateImporting}); err != nil {
		return "", err
	}
	if i.copied, err = copyTo(ctx, i.Cluster.Kube, i.Etcd, i.Progress); err != nil {
		return "", err
	}
	// A write that was admitted before the freeze may have come late.
	for name, client := range map[string]kubernetes.Interface{"kube-apiserver": i.Cluster.Kube, "Batchgate": direct} {
		if _, err := same(ctx, client, i.copied); err != nil {
			return "", fmt.Errorf("looking what %s has: %w: run this again", name, err)
		}
	}
	return fmt.Sprintf("%d Jobs and CronJobs", len(i.copied)), nil
}

// with adds to annotations of v1.batch the one about the etcd.
func with(annotations map[string]string, etcd string) map[string]string {
	all := map[string]string{etcdAnnotation: etcd}
	maps.Copy(all, annotations)
	return all
}

// checkCopied compares what the aggregator passes on with what was copied.
func (i *Import) checkCopied(ctx context.Context) (string, error) {
	return same(ctx, i.Cluster.Kube, i.copied)
}

// conclude does what is left when Batchgate serves.
func (i *Import) conclude(ctx context.Context) error {
	if i.DryRun {
		return nil
	}
	var steps []check
	if i.frozen == "" { // it was imported earlier
		steps = []check{
			{name: "available", run: i.awaitAvailable},
			{name: "others", run: i.Cluster.checkFrozen(i.Resume)},
			{name: "every kube-apiserver", run: i.Cluster.awaitSwitched(i.Etcd)},
			{name: "note", run: i.noteServing},
		}
	}
	return runSteps(ctx, append(steps,
		check{name: "unfreeze", run: i.Cluster.thaw(i.frozen)},
		check{name: "controllers", run: i.Controllers.await(i.Cluster, i.Progress)},
	), i.Report)
}

// noteServing notes, in the cluster and in the etcd, that what that has is no copy any more.
// From then on there is no way back but an Export.
func (i *Import) noteServing(ctx context.Context) (string, error) {
	var err error
	if i.cluster, err = i.Cluster.uid(ctx); err != nil {
		return "", err
	}
	annotation := map[string]any{"metadata": map[string]any{"annotations": map[string]any{etcdAnnotation: ownEtcd}}}
	if _, err := i.Cluster.patch(ctx, BatchAPIService, annotation); err != nil {
		return "", fmt.Errorf("patching APIService %s: %w", BatchAPIService, err)
	}
	return "the Jobs of the own etcd are the ones that count", i.Etcd.mark(ctx, marker{i.cluster, stateServing})
}
