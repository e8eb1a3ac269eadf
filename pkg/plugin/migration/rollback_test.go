// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package migration

import (
	"errors"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/plugin/cluster"
	"github.com/batchgate/batchgate/pkg/plugin/cluster/fake"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
	"github.com/batchgate/batchgate/pkg/plugin/takeover"
)

func TestRollback_NothingToDo(t *testing.T) {
	e := newTestEnv(t)
	if err := e.newRollback().Run(t.Context()); err != nil {
		t.Error(err)
	}
	e.checkShared()
}

func TestRollback_FromDedicatedEtcd(t *testing.T) {
	e := imported(t)
	e.write("new")
	e.forget("jobs/default/e")
	delete(e.want, "jobs/default/e")

	if err := e.newRollback().Run(t.Context()); !errors.Is(err, steps.ErrNothingChanged) || !errors.Is(err, takeover.ErrDedicatedEtcd) {
		t.Errorf("without --etcd-servers: %v", err)
	}
	dry := e.newRollback()
	dry.Etcd, dry.DryRun = e.shared, true
	if err := dry.Run(t.Context()); err != nil || !strings.Contains(e.result("roll back").Detail, "would freeze writes, copy") {
		t.Errorf("dry run: %v, %+v", err, e.result("roll back"))
	}
	if !e.has(policy.GuardName) || e.has(policy.FreezeName) {
		t.Error("something was changed")
	}
	if err := e.runRollback(); err != nil {
		t.Fatal(err)
	}
	if got := e.result("roll back").Undo; got != "kubectl batchgate import --etcd-servers=<etcd of Batchgate> --overwrite" {
		t.Errorf("unexpected undo command: %q", got)
	}
	e.checkShared()
	if err := e.runRollback(); err != nil || !strings.Contains(e.result("controllers").Detail, "they see new Jobs") {
		t.Errorf("repeated: %v, %+v", err, e.result("controllers"))
	}
}

// Each step prints a command that undoes it from the state that the step reaches.
func TestRollback_Inverse(t *testing.T) {
	e := newTestEnv(t)
	e.enter(states[4])
	if err := e.newRollback().Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := e.result("roll back").Undo; got != "kubectl batchgate import --etcd-servers=<etcd of Batchgate>" {
		t.Errorf("after an unfinished import: %q", got)
	}
	e = imported(t)
	for _, step := range []string{"take over", "mark as serving"} {
		if got := e.result(step).Undo; got != "kubectl batchgate rollback --etcd-servers=<etcd of the cluster>" {
			t.Errorf("%s: %q", step, got)
		}
	}
	if err := e.runRollback(); err != nil {
		t.Fatal(err)
	}
	// After a rollback was killed, only a command with --resume can end the freeze.
	if got := e.result("freeze").Undo; got != "kubectl batchgate import --etcd-servers=<etcd of Batchgate> --resume" {
		t.Errorf("freeze: %q", got)
	}
}

func TestRollback_FailedCheck(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare     func(*testEnv, *Rollback)
		check, want string
	}{
		"missing permission": {func(e *testEnv, _ *Rollback) { e.Denied["delete apiservices"] = true }, "permissions", "the user may not delete apiservices"},
		"other operation":    {func(e *testEnv, _ *Rollback) { e.freezeByHand() }, "other operations", "set --resume"},
		"Batchgate down":     {func(e *testEnv, _ *Rollback) { e.Batchgate.Down = true }, "current server", "start it first"},
		"dedicated etcd":     {func(e *testEnv, r *Rollback) { r.Etcd = e.dedicated }, "etcd", "the server does not use this etcd: use the --etcd-servers of kube-apiserver"},
		"other prefix":       {func(_ *testEnv, r *Rollback) { r.Etcd.prefix = "/other" }, "etcd", "this etcd has no key /other/validatingadmissionpolicybindings/batchgate-guard: use the --etcd-prefix of kube-apiserver"},
	} {
		t.Run(name, func(t *testing.T) {
			e := imported(t)
			r := e.newRollback()
			r.Etcd = e.shared
			tc.prepare(e, r)
			before := e.APIService().ResourceVersion
			if err := r.Run(t.Context()); !errors.Is(err, steps.ErrNothingChanged) {
				t.Errorf("unexpected error: %v", err)
			}
			if got := e.result(tc.check); !strings.Contains(got.Error, tc.want) {
				t.Errorf("%s: %+v, want %q", tc.check, got, tc.want)
			}
			if e.APIService().ResourceVersion != before || !e.has(policy.GuardName) {
				t.Error("something was changed")
			}
		})
	}
}

// Without a guard, the rollback notices a wrong prefix only after the freeze. It must not write there.
func TestRollback_OtherPrefixWithoutGuard(t *testing.T) {
	e := imported(t)
	e.write("new")
	e.lift(policy.GuardName)
	r := e.newRollback()
	r.Etcd = e.store("cluster etcd", e.etcds.shared)
	r.Etcd.prefix = "/other"
	if err := r.Run(t.Context()); !errors.Is(err, steps.ErrRolledBack) || !strings.Contains(err.Error(), "this etcd has no key /other/validatingadmissionpolicybindings/batchgate-freeze") {
		t.Errorf("the error is %v", err)
	}
	if response, err := e.etcds.shared.Get(t.Context(), "/other", clientv3.WithPrefix()); err != nil || response.Count > 0 {
		t.Errorf("%d objects were written: %v", response.Count, err)
	}
	if !e.TakenOver() || e.has(policy.FreezeName) {
		t.Errorf("taken over %t, frozen %t", e.TakenOver(), e.has(policy.FreezeName))
	}
	e.checkServed()
}

func TestRollback_UndoneIfVerificationFails(t *testing.T) {
	for name, tc := range map[string]struct {
		request   string
		happens   func(*testEnv)
		step, err string
	}{
		"freeze lifted during copy": {"cluster etcd commit", func(e *testEnv) { e.lift(policy.FreezeName) }, "still frozen", "the freeze was lifted"},
		"freeze lifted at switch":   {"kube-apiserver patch apiservices v1.batch", func(e *testEnv) { e.lift(policy.FreezeName) }, "frozen throughout", "the freeze was lifted"},
		"Jobs missing after switch": {"kube-apiserver patch apiservices v1.batch", func(e *testEnv) {
			if err := (etcdStorage{e.etcds.shared}).Delete("jobs", "default", "pi"); err != nil {
				e.t.Error(err)
			}
		}, "objects through kube-apiserver", "1 missing (jobs/default/pi"},
	} {
		t.Run(name, func(t *testing.T) {
			e := imported(t)
			e.write("new")
			done := false
			e.After = func(request string) error {
				if request == tc.request && !done {
					done = true
					tc.happens(e)
				}
				return nil
			}
			if err := e.runRollback(); !errors.Is(err, steps.ErrRolledBack) || !strings.Contains(err.Error(), "Batchgate serves as before") {
				t.Errorf("unexpected error: %v", err)
			}
			if got := e.result(tc.step); !strings.Contains(got.Error, tc.err) {
				t.Errorf("%s: %+v, want %q", tc.step, got, tc.err)
			}
			e.checkDedicated()
		})
	}
}

// rollBackByHand points v1.batch to kube-apiserver as artifacts/apiservice/rollback/patch.yaml does.
func (e *testEnv) rollBackByHand() {
	e.t.Helper()
	now, err := e.BatchAPIService(e.t.Context())
	if err == nil {
		err = e.Cluster.RollBack(e.t.Context(), now)
	}
	if err != nil {
		e.t.Fatal(err)
	}
}

// An admin patched v1.batch although the Jobs are in the dedicated etcd. The guard keeps clients
// from writing to kube-apiserver's outdated objects, and import takes over again.
func TestRollback_ByHand(t *testing.T) {
	e := imported(t)
	e.write("new")
	e.rollBackByHand()
	if e.write("lost") {
		t.Error("kube-apiserver accepts writes")
	}
	for _, resume := range []bool{false, true} {
		r := e.newRollback()
		r.Resume = resume
		if err := r.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "run kubectl batchgate import --etcd-servers=<etcd of Batchgate>, which takes over again") {
			t.Errorf("resume %t: %v", resume, err)
		}
	}
	if err := e.runImport(); err != nil {
		t.Errorf("import: %v\n%+v", err, e.results)
	}
	if got := e.result("etcd").Detail; !strings.Contains(got, "was rolled back by hand") {
		t.Errorf("etcd: %q", got)
	}
	e.checkDedicated()
}

// The dedicated etcd is authoritative even if all Jobs were deleted: kube-apiserver's outdated Jobs
// must not come back.
func TestRollback_ByHandWithoutJobs(t *testing.T) {
	e := imported(t)
	for id := range e.want {
		e.forget(id)
	}
	e.want = map[string]string{}
	e.rollBackByHand()
	if err := e.runImport(); err != nil {
		t.Errorf("import: %v\n%+v", err, e.results)
	}
	e.checkDedicated()
}

// The import that takes over again gets no response, so it must not claim that nothing changed.
func TestRollback_ByHandAnswerLost(t *testing.T) {
	e := imported(t)
	e.rollBackByHand()
	lost := false
	e.After = func(request string) error {
		if lost = lost || request == "kube-apiserver patch apiservices v1.batch"; lost {
			return errors.New("connection reset by peer")
		}
		return nil
	}
	err := e.runImport()
	if isOneOf(err, steps.ErrNothingChanged, steps.ErrRolledBack) || !errors.Is(err, cluster.ErrUnknown) || !strings.Contains(err.Error(), "run kubectl batchgate import --etcd-servers=<etcd of Batchgate> again") {
		t.Errorf("the error is %v", err)
	}
	e.After = nil
	if err := e.runImport(); err != nil {
		t.Errorf("repeated: %v\n%+v", err, e.results)
	}
	e.checkDedicated()
}

// v1.batch changes between the decision and the patch of a rollback. If that change has finished an
// import, the rollback must not discard the Jobs in the dedicated etcd.
func TestRollback_ConflictDuringImport(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*apiregistrationv1.APIService)
		want   error
	}{
		"import noted": {func(a *apiregistrationv1.APIService) { a.Annotations[policy.EtcdAnnotation] = policy.EtcdDedicated }, takeover.ErrDedicatedEtcd},
		"other change": {func(*apiregistrationv1.APIService) {}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			e := newTestEnv(t)
			if err := e.RunWithFaultAt("kube-apiserver patch apiservices v1.batch", fake.KillAfter, e.runImport); !errors.Is(err, fake.ErrKilled) || !e.TakenOver() {
				t.Fatalf("not killed after the takeover: %v", err)
			}
			done := false
			e.Before = func(request string) error {
				if request == "kube-apiserver patch apiservices v1.batch" && !done {
					done = true
					e.Touch(tc.change)
				}
				return nil
			}
			if err := e.newRollback().Run(t.Context()); !errors.Is(err, tc.want) || !done {
				t.Errorf("the error is %v", err)
			}
			if tc.want == nil {
				e.checkShared()
			} else if !e.TakenOver() || !e.has(policy.FreezeName) || !e.has(policy.GuardName) {
				t.Error("the rollback changed something")
			}
		})
	}
}

// The plugin was killed while it copied.
func TestRollback_EndsFreezeOnlyWithResume(t *testing.T) {
	e := newTestEnv(t)
	if err := e.RunWithFaultAt("dedicated etcd commit", fake.KillBefore, e.runImport); !errors.Is(err, fake.ErrKilled) {
		t.Fatalf("not killed: %v", err)
	}
	if err := e.newRollback().Run(t.Context()); !errors.Is(err, errFrozen) {
		t.Errorf("unexpected error: %v", err)
	}
	if !e.has(policy.FreezeName) {
		t.Error("the freeze was ended")
	}
	r := e.newRollback()
	r.Resume = true
	if err := r.Run(t.Context()); err != nil {
		t.Error(err)
	}
	e.checkShared()
}

// A user who may not read the bindings can roll back a plain takeover.
func TestRollback_BindingsUnreadable(t *testing.T) {
	e := newTestEnv(t)
	e.Before = func(request string) error {
		if strings.Contains(request, "validatingadmissionpolicybindings") {
			return apierrors.NewForbidden(schema.GroupResource{Resource: "validatingadmissionpolicybindings"}, policy.FreezeName, errors.New("denied"))
		}
		return nil
	}
	if err := e.newRollback().Run(t.Context()); err != nil {
		t.Error(err)
	}
}

// The plugin cannot find out whether the freeze exists.
func TestFreezer_Unknown(t *testing.T) {
	e := newTestEnv(t)
	failing := false
	e.After = func(request string) error {
		if failing = failing || request == "kube-apiserver create validatingadmissionpolicybindings batchgate-freeze"; failing && strings.Contains(request, "bindings batchgate-freeze") {
			return errors.New("connection reset by peer")
		}
		return nil
	}
	err := e.runImport()
	if isOneOf(err, steps.ErrNothingChanged, steps.ErrRolledBack) || !errors.Is(err, errFreezeUnknown) || !strings.Contains(err.Error(), "kubectl batchgate rollback --resume") {
		t.Errorf("unexpected error: %v", err)
	}
	e.After = nil
	r := e.newRollback()
	r.Resume = true
	if err := r.Run(t.Context()); err != nil {
		t.Error(err)
	}
	e.checkShared()
}

// Two imports start at the same time: the second must not end the freeze of the first.
func TestFreezer_CreatedByOther(t *testing.T) {
	e := newTestEnv(t)
	done := false
	e.After = func(request string) error {
		if request == "kube-apiserver create validatingadmissionpolicies batchgate-freeze" && !done {
			done = true
			_, binding := cluster.Freeze.Objects()
			binding.UID = "other"
			if err := e.KubeAPIServer.Tracker().Add(binding); err != nil {
				t.Error(err)
			}
		}
		return nil
	}
	if err := e.runImport(); !errors.Is(err, errFrozen) || !errors.Is(err, steps.ErrNothingChanged) {
		t.Errorf("unexpected error: %v", err)
	}
	if !e.has(policy.FreezeName) {
		t.Error("the other freeze was ended")
	}
}

func TestControllers_ReportProgress(t *testing.T) {
	e := newTestEnv(t)
	e.BlindControllers = true
	var messages []string
	wait := &controllersWait{
		Controllers: Controllers{Timeout: progressInterval + 100*time.Millisecond}, cluster: e.Cluster.Cluster,
		progress: func(text string) { messages = append(messages, text) }, began: time.Now().Add(-progressInterval),
	}
	if err := wait.run(t.Context()); err == nil {
		t.Error("blind controllers have seen the Job")
	}
	if len(messages) != 1 || !strings.Contains(messages[0], "waiting for the Job controller") {
		t.Errorf("unexpected messages: %q", messages)
	}
}
