package takeover

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
)

// rollbackCommand is the inverse of a takeover.
const rollbackCommand = "kubectl batchgate rollback"

var (
	// ErrRefused is the error of a takeover that was not begun, since a check has failed.
	ErrRefused = errors.New("nothing was changed")
	// ErrRolledBack is the error of one that was taken back, since what came of it was wrong.
	ErrRolledBack = errors.New("the takeover was rolled back")
)

// Takeover gives v1.batch to a Service.
type Takeover struct {
	Cluster  *Cluster
	Service  Service
	CABundle []byte
	// Connect connects to the server past kube-apiserver.
	Connect func(context.Context) (*Direct, error)
	// Report is told of each check and step when it is done.
	Report func(Result)
	// DryRun stops after the checks.
	DryRun bool
	// Timeout bounds the wait for the aggregator to find the server available. Default one minute.
	Timeout time.Duration

	direct    *Direct
	directErr error
}

// Run checks, takes over, and checks again. If what it then sees is wrong it rolls back, and
// the error is ErrRolledBack. It is ErrRefused where nothing was changed.
func (t *Takeover) Run(ctx context.Context) error {
	if err := runAll(ctx, t.preflight(), t.Report); err != nil {
		return fmt.Errorf("%w: %w", err, ErrRefused)
	}
	before, err := t.Cluster.Serving(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", err, ErrRefused)
	}
	if t.DryRun {
		t.Report(Result{Name: "take over", Detail: "would give " + BatchAPIService + " to " + t.Service.String(), Inverse: rollbackCommand})
		return nil
	}
	injected, err := t.Cluster.injected(ctx, t.Service)
	if err != nil {
		return fmt.Errorf("%w: %w", err, ErrRefused)
	}
	if before.by(t.Service) && bytes.Equal(before.CABundle, t.CABundle) && includes(before.Injected, injected) {
		// What works is not taken back: there is nothing of ours to take back.
		t.Report(Result{Name: "take over", Detail: BatchAPIService + " is served by " + t.Service.String() + " already", Inverse: rollbackCommand})
		return runAll(ctx, []check{{name: "available", run: t.awaitAvailable}}, t.Report)
	}
	if err := t.takeOver(ctx, before, injected); err != nil {
		t.Report(Result{Name: "take over", Error: err.Error()})
		return fmt.Errorf("%w: %w", err, ErrRefused)
	}
	t.Report(Result{Name: "take over", Detail: BatchAPIService + " is given to " + t.Service.String(), Inverse: rollbackCommand})

	err = runAll(ctx, []check{{name: "available", run: t.awaitAvailable}, {name: "objects through kube-apiserver", run: t.checkObjects}}, t.Report)
	if err == nil {
		return nil
	}
	// Also where it was interrupted: half a takeover is none.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	rollback := Rollback{Cluster: t.Cluster, Report: t.Report}
	if undoErr := rollback.Run(ctx); undoErr != nil {
		return fmt.Errorf("%w, and rolling back: %v; run: %s", err, undoErr, rollbackCommand)
	}
	return fmt.Errorf("%w: %w", err, ErrRolledBack)
}

// takeOver patches the APIService. An error means that it is as it was: where only the answer
// was lost, a look tells.
func (t *Takeover) takeOver(ctx context.Context, before *Serving, annotations map[string]string) error {
	_, err := t.Cluster.patch(ctx, BatchAPIService, takeoverPatch(t.Service, t.CABundle, annotations, before.resourceVersion))
	if err == nil {
		return nil
	}
	if apierrors.IsConflict(err) {
		return fmt.Errorf("somebody else has just changed APIService %s: %w", BatchAPIService, err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if after, readErr := t.Cluster.Serving(ctx); readErr == nil && after.by(t.Service) {
		return nil
	}
	return fmt.Errorf("patching APIService %s: %w", BatchAPIService, err)
}

func (t *Takeover) timeout() time.Duration {
	if t.Timeout == 0 {
		return time.Minute
	}
	return t.Timeout
}

// awaitAvailable waits until the aggregator finds the server available.
func (t *Takeover) awaitAvailable(ctx context.Context) (string, error) {
	began := time.Now()
	var last *Serving
	err := wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, t.timeout(), true, func(ctx context.Context) (bool, error) {
		serving, err := t.Cluster.Serving(ctx)
		if err != nil {
			return false, err
		}
		last = serving
		if !serving.by(t.Service) {
			return false, fmt.Errorf("%s was given to %s meanwhile", BatchAPIService, serving.Server())
		}
		// The condition may yet be that about the server before.
		return serving.Available == string(metav1.ConditionTrue) && serving.Reason != reasonLocal, nil
	})
	if err != nil && last != nil {
		return "", fmt.Errorf("%s is not available: %s: %s: %w", BatchAPIService, last.Reason, last.Message, err)
	}
	return "after " + time.Since(began).Round(100*time.Millisecond).String(), err
}

// reasonLocal is the reason of the condition Available of what kube-apiserver serves itself.
const reasonLocal = "Local"
