package disruption

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/test/framework"
)

const (
	// startGap is the time between the starts of two components.
	startGap = time.Second
	// backOff is what kubelet waits before it starts a container again, or less.
	backOff = time.Second
)

// coldStarts are orders of etcd, kube-apiserver, Batchgate and kube-controller-manager, by
// their first letters but for kube-controller-manager's, which is c. They are those in which
// each waits for each that it needs; BATCHGATE_ALL_ORDERS=1 makes it all 24.
var coldStarts = []string{"eabc", "ebac", "aebc", "bcae", "cabe"}

// permutations returns all orders of the letters.
func permutations(letters string) []string {
	if len(letters) < 2 {
		return []string{letters}
	}
	var all []string
	for i, first := range letters {
		for _, rest := range permutations(letters[:i] + letters[i+1:]) {
			all = append(all, string(first)+rest)
		}
	}
	return all
}

func TestAControlPlaneThatIsStartedInAnyOrderServesGatedJobs(t *testing.T) {
	d := start(t, framework.Features{})
	d.install()
	if err := d.TakeOver(t.Context()); err != nil {
		t.Fatal(err)
	}
	components := map[rune]*framework.Process{'e': d.Etcd, 'a': d.APIServer, 'b': d.Batchgate, 'c': d.ControllerManager}
	orders := coldStarts
	if os.Getenv("BATCHGATE_ALL_ORDERS") != "" {
		orders = permutations("eabc")
	}
	for _, order := range orders {
		t.Run(order, func(t *testing.T) {
			d := d.in(t, "cold-"+order)
			d.createHeld("pi")
			etcd := openEtcd(t, []string{d.EtcdURL()}, "", "", "")
			before, err := d.storedJobs(etcd)
			if err != nil {
				t.Fatal(err)
			}
			// What runs Pods is not part of the drill; it would try again minutes later.
			if err := errors.Join(d.Kwok.Stop(), d.Scheduler.Stop()); err != nil {
				t.Fatal(err)
			}
			for _, letter := range "cbae" {
				if err := components[letter].Stop(); err != nil {
					t.Fatal(err)
				}
			}
			began := time.Now()
			for _, letter := range order {
				keepRunning(t, components[letter])
				time.Sleep(startGap)
			}
			d.eventually("have a ready kube-apiserver", func() error { return d.APIServerReady(t.Context()) })
			d.eventually("have a ready Batchgate", func() error { return d.BatchgateReady(t.Context()) })
			d.eventually("be gated", func() error { return d.gated("pi") })
			if _, _, err := d.Kubectl().Run(t.Context(), "wait", "apiservice", "v1.batch", "--for=condition=Available", "--timeout=110s"); err != nil {
				t.Error(err)
			}
			t.Logf("gated %s after the first start", time.Since(began).Round(100*time.Millisecond))
			after, err := d.storedJobs(etcd)
			if err != nil {
				t.Fatal(err)
			}
			// The Job controller may have counted its Pods again.
			for _, jobs := range []map[string]*batchv1.Job{before, after} {
				for _, job := range jobs {
					job.Status, job.ResourceVersion, job.ManagedFields = batchv1.JobStatus{}, "", nil
				}
			}
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("what etcd has is not what it had: %s", diff)
			}
			if err := errors.Join(d.Scheduler.Start(), d.Kwok.Start()); err != nil {
				t.Fatal(err)
			}
			d.finish("pi")
		})
	}
}

// keepRunning starts a component, and again whenever it ends, until the test ends.
func keepRunning(t *testing.T, p *framework.Process) {
	t.Helper()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	var restarts atomic.Int32
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-ctx.Done():
				return
			case <-p.Exited():
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(backOff):
			}
			restarts.Add(1)
			if err := p.Start(); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-stopped
		if n := restarts.Load(); n > 0 {
			t.Logf("%s gave up %d times, and was started again", p.Name, n)
		}
	})
}

// createHeld creates a Job whose Pod runs until finish, and waits for that.
func (d *drill) createHeld(name string) {
	d.t.Helper()
	job := newJob(name)
	job.Spec.Completions = ptr.To[int32](2)
	framework.Hold(job)
	d.create(job)
	d.eventually("run", func() error {
		pods, err := d.Client.CoreV1().Pods(d.namespace).List(d.t.Context(), metav1.ListOptions{FieldSelector: "status.phase=Running"})
		if err == nil && len(pods.Items) == 0 {
			err = errors.New("no Pod runs")
		}
		return err
	})
}

// finish lets all Pods end until the Job is complete.
func (d *drill) finish(name string) {
	d.t.Helper()
	d.eventually("finish the Job", func() error {
		if err := d.jobs().Release(name); err != nil {
			return err
		}
		job, err := d.Client.BatchV1().Jobs(d.namespace).Get(d.t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		return framework.CheckCondition(job, batchv1.JobComplete)
	})
}

// gated returns nil if an update of the Job that the gate forbids is refused by the gate.
func (d *drill) gated(name string) error {
	_, err := d.Client.BatchV1().Jobs(d.namespace).Patch(d.t.Context(), name, types.MergePatchType,
		[]byte(`{"metadata":{"annotations":{"a":"b"}}}`), metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
	if err == nil {
		return errors.New("a forbidden patch is accepted")
	}
	if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "may not be updated") {
		return err
	}
	return nil
}
