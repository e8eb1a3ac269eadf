package migration

import (
	"errors"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/plugin/cluster/fake"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
	"github.com/batchgate/batchgate/pkg/plugin/takeover"
)

func TestRollback_NothingToDo(t *testing.T) {
	w := newWorld(t)
	if err := w.newRollback().Run(t.Context()); err != nil {
		t.Error(err)
	}
	w.checkShared()
}

func TestRollback_FromDedicatedEtcd(t *testing.T) {
	w := imported(t)
	w.write("new")
	w.forget("jobs/default/e")
	delete(w.want, "jobs/default/e")

	if err := w.newRollback().Run(t.Context()); !errors.Is(err, steps.ErrNothingChanged) || !errors.Is(err, takeover.ErrDedicatedEtcd) {
		t.Errorf("without --etcd-servers: %v", err)
	}
	dry := w.newRollback()
	dry.Etcd, dry.DryRun = w.shared, true
	if err := dry.Run(t.Context()); err != nil || !strings.Contains(w.result("roll back").Detail, "would freeze writes, copy") {
		t.Errorf("dry run: %v, %+v", err, w.result("roll back"))
	}
	if !w.has(policy.GuardName) || w.has(policy.FreezeName) {
		t.Error("something was changed")
	}
	if err := w.runRollback(); err != nil {
		t.Fatal(err)
	}
	if got := w.result("roll back").Undo; got != "kubectl batchgate import --overwrite" {
		t.Errorf("the undo command is %q", got)
	}
	w.checkShared()
	if err := w.runRollback(); err != nil || !strings.Contains(w.result("controllers").Detail, "they see new Jobs") {
		t.Errorf("repeated: %v, %+v", err, w.result("controllers"))
	}
}

func TestRollback_FailedCheck(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare     func(*world, *Rollback)
		check, want string
	}{
		"missing permission": {func(w *world, _ *Rollback) { w.Denied["delete apiservices"] = true }, "permissions", "the user may not delete apiservices"},
		"other operation":    {func(w *world, _ *Rollback) { w.freezeByHand() }, "other operations", "give --resume"},
		"Batchgate down":     {func(w *world, _ *Rollback) { w.Batchgate.Down = true }, "current server", "start it first"},
		"dedicated etcd":     {func(w *world, r *Rollback) { r.Etcd = w.dedicated }, "etcd", "the server does not use this etcd: give the --etcd-servers of kube-apiserver"},
	} {
		t.Run(name, func(t *testing.T) {
			w := imported(t)
			r := w.newRollback()
			r.Etcd = w.shared
			tc.prepare(w, r)
			before := w.APIService().ResourceVersion
			if err := r.Run(t.Context()); !errors.Is(err, steps.ErrNothingChanged) {
				t.Errorf("the error is %v", err)
			}
			if got := w.result(tc.check); !strings.Contains(got.Error, tc.want) {
				t.Errorf("%s: %+v, want %q", tc.check, got, tc.want)
			}
			if w.APIService().ResourceVersion != before || !w.has(policy.GuardName) {
				t.Error("something was changed")
			}
		})
	}
}

func TestRollback_UndoneIfVerificationFails(t *testing.T) {
	for name, tc := range map[string]struct {
		request   string
		happens   func(*world)
		step, err string
	}{
		"freeze lifted during copy": {"cluster etcd commit", func(w *world) { w.lift(policy.FreezeName) }, "still frozen", "somebody has lifted the freeze"},
		"freeze lifted at switch":   {"kube-apiserver patch apiservices v1.batch", func(w *world) { w.lift(policy.FreezeName) }, "frozen all the time", "somebody has lifted the freeze"},
		"Jobs missing after switch": {"kube-apiserver patch apiservices v1.batch", func(w *world) {
			if err := (etcdStorage{etcds.shared}).Delete("jobs", "default", "pi"); err != nil {
				w.t.Error(err)
			}
		}, "objects through kube-apiserver", "1 missing (jobs/default/pi"},
	} {
		t.Run(name, func(t *testing.T) {
			w := imported(t)
			w.write("new")
			done := false
			w.After = func(request string) error {
				if request == tc.request && !done {
					done = true
					tc.happens(w)
				}
				return nil
			}
			if err := w.runRollback(); !errors.Is(err, steps.ErrRolledBack) || !strings.Contains(err.Error(), "Batchgate serves as before") {
				t.Errorf("the error is %v", err)
			}
			if got := w.result(tc.step); !strings.Contains(got.Error, tc.err) {
				t.Errorf("%s: %+v, want %q", tc.step, got, tc.err)
			}
			w.checkDedicated()
		})
	}
}

// An admin patched v1.batch although the Jobs are in the dedicated etcd. The guard keeps clients
// from writing to kube-apiserver's outdated objects, and import leads back.
func TestRollback_ByHand(t *testing.T) {
	w := imported(t)
	w.write("new")
	if err := w.Cluster.RollBack(t.Context()); err != nil {
		t.Fatal(err)
	}
	if w.write("lost") {
		t.Error("kube-apiserver accepts writes")
	}
	for _, resume := range []bool{false, true} {
		r := w.newRollback()
		r.Resume = resume
		if err := r.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "run kubectl batchgate import, which takes over again") {
			t.Errorf("resume %t: %v", resume, err)
		}
	}
	if err := w.runImport(); err != nil {
		t.Errorf("import: %v\n%+v", err, w.results)
	}
	if got := w.result("etcd").Detail; !strings.Contains(got, "was rolled back by hand") {
		t.Errorf("etcd: %q", got)
	}
	w.checkDedicated()
}

// The plugin was killed while it copied.
func TestRollback_EndsFreezeOnlyWithResume(t *testing.T) {
	n := requestNumber(t, "dedicated etcd commit")
	w := newWorld(t)
	if _, err := w.RunWithFault(n, fake.KillBefore, w.runImport); err == nil {
		t.Fatal("not killed")
	}
	if err := w.newRollback().Run(t.Context()); !errors.Is(err, errFrozen) {
		t.Errorf("the error is %v", err)
	}
	if !w.has(policy.FreezeName) {
		t.Error("the freeze was ended")
	}
	r := w.newRollback()
	r.Resume = true
	if err := r.Run(t.Context()); err != nil {
		t.Error(err)
	}
	w.checkShared()
}

// A user who may not read the bindings can roll back a plain takeover.
func TestRollback_BindingsUnreadable(t *testing.T) {
	w := newWorld(t)
	w.Before = func(request string) error {
		if strings.Contains(request, "validatingadmissionpolicybindings") {
			return apierrors.NewForbidden(schema.GroupResource{Resource: "validatingadmissionpolicybindings"}, policy.FreezeName, errors.New("denied"))
		}
		return nil
	}
	if err := w.newRollback().Run(t.Context()); err != nil {
		t.Error(err)
	}
}

// The freeze may exist, and the plugin cannot find out.
func TestFreezer_Unknown(t *testing.T) {
	w := newWorld(t)
	failing := false
	w.After = func(request string) error {
		if failing = failing || request == "kube-apiserver create validatingadmissionpolicybindings batchgate-freeze"; failing && strings.Contains(request, "bindings batchgate-freeze") {
			return errors.New("connection reset by peer")
		}
		return nil
	}
	err := w.runImport()
	if isOneOf(err, steps.ErrNothingChanged, steps.ErrRolledBack) || !errors.Is(err, errFreezeUnknown) || !strings.Contains(err.Error(), "kubectl batchgate rollback --resume") {
		t.Errorf("the error is %v", err)
	}
	w.After = nil
	r := w.newRollback()
	r.Resume = true
	if err := r.Run(t.Context()); err != nil {
		t.Error(err)
	}
	w.checkShared()
}

// Two imports start at the same time: the second must not end the freeze of the first.
func TestFreezer_CreatedByOther(t *testing.T) {
	w := newWorld(t)
	done := false
	w.After = func(request string) error {
		if request == "kube-apiserver create validatingadmissionpolicies batchgate-freeze" && !done {
			done = true
			_, binding := denyAll(policy.FreezeName, freezeMessage)
			if err := w.KubeAPIServer.Tracker().Add(binding); err != nil {
				t.Error(err)
			}
		}
		return nil
	}
	if err := w.runImport(); !errors.Is(err, errFrozen) || !errors.Is(err, steps.ErrNothingChanged) {
		t.Errorf("the error is %v", err)
	}
	if !w.has(policy.FreezeName) {
		t.Error("the other freeze was ended")
	}
}

func TestControllers_ReportProgress(t *testing.T) {
	w := newWorld(t)
	w.BlindControllers = true
	var messages []string
	wait := &controllersWait{
		Controllers: Controllers{Timeout: progressInterval + 100*time.Millisecond}, cluster: w.Cluster.Cluster,
		progress: func(text string) { messages = append(messages, text) }, began: time.Now().Add(-progressInterval),
	}
	if err := wait.run(t.Context()); err == nil {
		t.Error("blind controllers have seen the Job")
	}
	if len(messages) != 1 || !strings.Contains(messages[0], "waiting for the Job controller") {
		t.Errorf("the messages are %q", messages)
	}
}
