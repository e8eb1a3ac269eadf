// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package migration

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/plugin/cluster"
	"github.com/batchgate/batchgate/pkg/plugin/cluster/fake"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
)

// An import was killed after "guard". Another one resumes it, and fails or is killed, too. The
// documented command must still end the freeze and the guard.
func TestImport_ResumedAndInterrupted(t *testing.T) {
	resume := func(e *testEnv) error {
		i := e.newImport()
		i.Resume = true
		return i.Run(t.Context())
	}
	// The checks before the first change are the same without --resume.
	checks := 0
	e := newTestEnv(t)
	e.enter(states[3])
	e.Before = func(request string) error {
		if request == "kube-apiserver delete validatingadmissionpolicybindings batchgate-guard" {
			return errors.New("no response")
		}
		checks++
		return nil
	}
	if err := resume(e); err == nil || !strings.Contains(err.Error(), errFreezeUnknown.Error()) {
		t.Fatalf("the error is %v", err)
	}
	for _, mode := range []fake.Mode{fake.Fail, fake.LoseResponse, fake.KillBefore} {
		t.Run(string(mode), func(t *testing.T) {
			first := 1
			if mode == fake.Fail {
				first = checks
			}
			for n := first; ; n++ {
				e := newTestEnv(t)
				e.enter(states[3])
				request, err := e.RunWithFault(n, mode, func() error { return resume(e) })
				if request == "" {
					if n < first+3 || err != nil {
						t.Errorf("after %d requests: %v", n, err)
					}
					return
				}
				switch {
				case err == nil:
					e.checkDedicated()
				case errors.Is(err, steps.ErrRolledBack):
					e.checkShared()
				}
				e.write("between")
				if n%2 == 0 {
					e.recoverByImport()
				} else {
					e.recoverByRollback()
				}
				if t.Failed() {
					t.Fatalf("request %d, %q: %v\n%+v", n, request, err, e.results)
				}
			}
		})
	}
}

// A command hangs before one of its requests, for example because a laptop sleeps. Others finish, and
// clients write. Then the first one continues. It must not undo or overwrite any of that.
func TestContinuesAfterOthers(t *testing.T) {
	runImport := func(e *testEnv) error {
		i := e.newImport()
		i.Overwrite = true
		return i.Run(e.t.Context())
	}
	resumeImport := func(e *testEnv) error {
		i := e.newImport()
		i.Resume = true
		return i.Run(e.t.Context())
	}
	resumeRollback := func(e *testEnv) error {
		r := e.newRollback()
		r.Resume, r.Etcd = true, e.store("cluster etcd", e.etcds.shared)
		return r.Run(e.t.Context())
	}
	in := func(number int) func(*testing.T) *testEnv {
		return func(t *testing.T) *testEnv {
			e := newTestEnv(t)
			e.enter(states[number-1])
			return e
		}
	}
	byImport, byRollback := (*testEnv).recoverByImport, (*testEnv).recoverByRollback
	for name, tc := range map[string]struct {
		prepare func(*testing.T) *testEnv
		run     func(*testEnv) error
		others  []func(*testEnv)
	}{
		"import, import":                     {newTestEnv, runImport, []func(*testEnv){byImport}},
		"import, rollback":                   {newTestEnv, runImport, []func(*testEnv){byRollback}},
		"import, import, rollback":           {newTestEnv, runImport, []func(*testEnv){byImport, byRollback}},
		"rollback, rollback":                 {imported, (*testEnv).runRollback, []func(*testEnv){byRollback}},
		"rollback, import":                   {imported, (*testEnv).runRollback, []func(*testEnv){byImport}},
		"rollback, rollback, import":         {imported, (*testEnv).runRollback, []func(*testEnv){byRollback, byImport}},
		"resumed import, import":             {in(4), resumeImport, []func(*testEnv){byImport}},
		"resumed import, rollback":           {in(5), resumeImport, []func(*testEnv){byRollback}},
		"resumed import, rollback, import":   {in(5), resumeImport, []func(*testEnv){byRollback, byImport}},
		"resumed rollback, import":           {in(5), resumeRollback, []func(*testEnv){byImport}},
		"resumed rollback, import, rollback": {in(11), resumeRollback, []func(*testEnv){byImport, byRollback}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for n := 1; ; n++ {
				e := tc.prepare(t)
				if e.TakenOver() {
					e.write("new") // so that a rollback copies something
				}
				request, err := e.hang(n, func() error { return tc.run(e) }, func() {
					for i, other := range tc.others {
						other(e)
						e.deleteJob("new")
						e.deleteJob("pi")
						e.write(fmt.Sprintf("meanwhile-%d", i))
					}
					e.Timing.Switch = 300 * time.Millisecond // It may wait for a freeze that is gone.
				})
				if request == "" {
					if n < 10 {
						t.Errorf("it sends only %d such requests: %v", n, err)
					}
					return
				}
				if e.TakenOver() {
					e.checkDedicated()
				} else {
					e.checkShared()
				}
				if t.Failed() {
					t.Fatalf("request %d, %q: %v\n%+v", n, request, err, e.results)
				}
			}
		})
	}
}

// hang runs an operation, and calls meanwhile before request n. It counts changes and every tenth
// read. It returns a description of that request, which is empty if the operation sent fewer requests.
func (e *testEnv) hang(n int, run func() error, meanwhile func()) (request string, err error) {
	count, reads := 0, 0
	e.Before = func(description string) error {
		if !fake.Changes(description) {
			if reads++; reads%10 != 0 {
				return nil
			}
		}
		if count++; count == n {
			request, e.Before = description, nil
			meanwhile()
		}
		return nil
	}
	defer func() { e.Before = nil }()
	err = run()
	return request, err
}

// deleteJob deletes a Job as a client does. It need not exist.
func (e *testEnv) deleteJob(name string) {
	e.t.Helper()
	err := e.KubeAPIServer.BatchV1().Jobs("default").Delete(e.t.Context(), name, metav1.DeleteOptions{})
	if err == nil {
		delete(e.want, "jobs/default/"+name)
	} else if !apierrors.IsNotFound(err) {
		e.t.Error(err)
	}
}

// The error of a command that continues says why it failed.
func TestContinuesAfterOthers_Errors(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare func(*testing.T) *testEnv
		request string
		run     func(*testEnv) error
		other   func(*testEnv)
		want    error
	}{
		"import before marker": {newTestEnv, `dedicated etcd put "/batchgate.io/import"`, (*testEnv).runImport, (*testEnv).recoverByImport, errMarked},
		"import before copy":   {newTestEnv, "dedicated etcd commit", (*testEnv).runImport, (*testEnv).recoverByImport, errMarked},
		"rollback before copy": {imported, "cluster etcd commit", (*testEnv).runRollback, (*testEnv).recoverByRollback, errNotHeld},
	} {
		t.Run(name, func(t *testing.T) {
			e := tc.prepare(t)
			if e.TakenOver() {
				e.write("new")
			}
			done := false
			e.Before = func(request string) error {
				if request == tc.request && !done {
					done = true
					tc.other(e)
					e.deleteJob("new")
				}
				return nil
			}
			if err := tc.run(e); !errors.Is(err, tc.want) || isOneOf(err, steps.ErrNothingChanged) {
				t.Errorf("the error is %v", err)
			}
			e.checkServed()
		})
	}
}

// The freeze is lifted, and a client writes, just before the import creates the guard.
func TestImport_FreezeLiftedBeforeGuard(t *testing.T) {
	e := newTestEnv(t)
	done := false
	e.Before = func(request string) error {
		if request == "kube-apiserver create validatingadmissionpolicies batchgate-guard" && !done {
			done = true
			e.lift(policy.FreezeName)
			e.put("jobs", newJob("acknowledged"))
		}
		return nil
	}
	if err := e.runImport(); !errors.Is(err, steps.ErrRolledBack) || !done {
		t.Errorf("the error is %v", err)
	}
	e.checkShared()
}

// An import was killed after its takeover. Somebody edits the freeze, a client writes to the
// dedicated etcd, and somebody restores the freeze.
func TestRollback_FreezeEditedAndRestored(t *testing.T) {
	e := newTestEnv(t)
	e.enter(states[4])
	e.edit(policy.FreezeName, edits["changed and restored"])
	job := newJob("acknowledged")
	e.want["jobs/default/acknowledged"] = string(job.UID)
	if err := (etcdStorage{e.etcds.dedicated}).Put("jobs", job); err != nil {
		t.Fatal(err)
	}
	e.checkOnlyImportResumes()
}

// An import was killed after its takeover. Somebody deletes the freeze, a client writes to the
// dedicated etcd, and somebody creates the freeze again.
func TestRollback_FreezeRecreated(t *testing.T) {
	e := newTestEnv(t)
	e.enter(states[4])
	e.lift(policy.FreezeName)
	e.write("acknowledged")
	e.freezeByHand()
	e.checkOnlyImportResumes()
}

// checkOnlyImportResumes fails the test unless a rollback changes nothing and import --resume
// finishes the import.
func (e *testEnv) checkOnlyImportResumes() {
	e.t.Helper()
	if err := e.newRollback().Run(e.t.Context()); !errors.Is(err, steps.ErrNothingChanged) || !strings.Contains(err.Error(), cluster.ImportCommand+" --resume") {
		e.t.Errorf("the error is %v", err)
	}
	i := e.newImport()
	i.Resume = true
	if err := i.Run(e.t.Context()); err != nil {
		e.t.Error(err)
	}
	e.checkDedicated()
}

// An import fails to create its guard, and hangs while it undoes that. Another import finishes
// meanwhile, and its guard must stay.
func TestImport_UndoneBesideImport(t *testing.T) {
	e := newTestEnv(t)
	failed := false
	e.Before = func(request string) error {
		switch {
		case request == "kube-apiserver create validatingadmissionpolicies batchgate-guard" && !failed:
			failed = true
			return errors.New("injected")
		case request == "kube-apiserver get validatingadmissionpolicybindings batchgate-guard" && failed:
			e.Before = nil
			e.recoverByImport()
		}
		return nil
	}
	if err := e.runImport(); err == nil || !failed || e.Before != nil {
		t.Errorf("the error is %v", err)
	}
	if guarded, err := e.HasBinding(t.Context(), policy.GuardName); err != nil || !guarded {
		t.Errorf("the other import has a guard: %t, %v", guarded, err)
	}
	e.checkDedicated()
}

// A repeated import hangs before it looks at the guard, while a rollback moves the Jobs back. If the
// import then left a guard, it would deny writes, and the next import would discard kube-apiserver's Jobs.
func TestImport_RepeatedBesideRollback(t *testing.T) {
	e := imported(t)
	done := false
	e.Before = func(request string) error {
		if strings.HasPrefix(request, "dedicated etcd get") && !done {
			done = true
			return e.runRollback()
		}
		return nil
	}
	if err := e.runImport(); err == nil || !strings.Contains(err.Error(), "was pointed to kube-apiserver by another client") {
		t.Errorf("the error is %v", err)
	}
	e.checkShared()
}

// During the copy of a rollback, the plugin is connected to a kube-apiserver that has just started,
// and does not proxy to Batchgate yet.
func TestRollback_KubeAPIServerStartsDuringCopy(t *testing.T) {
	e := imported(t)
	e.write("new")
	service := e.APIService().Spec.Service
	proxies := func(s *apiregistrationv1.ServiceReference) {
		e.Touch(func(a *apiregistrationv1.APIService) { a.Spec.Service = s })
	}
	started := false
	e.Before = func(request string) error {
		_, err := e.KubeAPIServer.Tracker().Get(admissionv1.SchemeGroupVersion.WithResource("validatingadmissionpolicybindings"), "", policy.FreezeName)
		switch {
		case err == nil && request == "kube-apiserver read /apis/batch/v1/jobs" && !started:
			started = true
			proxies(nil)
		case started && (request == "Batchgate read /apis/batch/v1/jobs" || request == "kube-apiserver get validatingadmissionpolicybindings batchgate-freeze"):
			e.Before = nil
			proxies(service)
		}
		return nil
	}
	r := e.newRollback()
	r.Etcd, r.Batchgate = e.shared, e.Connection()
	if err := r.Run(t.Context()); !errors.Is(err, steps.ErrRolledBack) || !started {
		t.Errorf("the error is %v", err)
	}
	e.checkDedicated()
}

// Ctrl-C after the Jobs were moved must not leave writes frozen.
func TestUnfreeze_Interrupted(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare func(*testing.T) *testEnv
		request string
		run     func(context.Context, *testEnv) error
		check   func(*testEnv)
	}{
		"import": {newTestEnv, `dedicated etcd put "/batchgate.io/import"`, func(ctx context.Context, e *testEnv) error {
			return e.newImport().Run(ctx)
		}, (*testEnv).checkDedicated},
		"rollback": {imported, "kube-apiserver delete validatingadmissionpolicybindings batchgate-guard", func(ctx context.Context, e *testEnv) error {
			r := e.newRollback()
			r.Etcd = e.shared
			return r.Run(ctx)
		}, (*testEnv).checkServed},
	} {
		t.Run(name, func(t *testing.T) {
			e := tc.prepare(t)
			ctx, cancel := context.WithCancel(t.Context())
			e.After = func(request string) error {
				if request == tc.request && e.TakenOver() == (name == "import") {
					cancel()
				}
				return nil
			}
			_ = tc.run(ctx, e)
			if got := e.result("unfreeze"); got.Detail != "writes are allowed again" || ctx.Err() == nil {
				t.Errorf("unfreeze: %+v", got)
			}
			tc.check(e)
		})
	}
}

// The namespace default denies all Jobs, so the admin has chosen another one.
func TestImport_CanaryNamespace(t *testing.T) {
	e := newTestEnv(t)
	for _, s := range []*fake.Server{e.KubeAPIServer, e.Batchgate} {
		s.PrependReactor("create", "*", func(action clienttesting.Action) (bool, runtime.Object, error) {
			resource := action.GetResource()
			if resource.Group != "batch" || action.GetNamespace() != metav1.NamespaceDefault {
				return false, nil, nil
			}
			return true, nil, apierrors.NewForbidden(resource.GroupResource(), "x", errors.New("denied by a webhook"))
		})
	}
	i := e.newImport()
	i.Controllers.Namespace = "canaries"
	if err := i.Run(t.Context()); err != nil {
		t.Errorf("%v\n%+v", err, e.results)
	}
}

// One of two replicas uses another --etcd-prefix.
func TestImport_ReplicasDiffer(t *testing.T) {
	e := newTestEnv(t)
	second := *e.Batchgate
	second.Storage = fake.NewMemory(5 * revisionMargin)
	i := e.newImport()
	i.Batchgate.DialAll = func(context.Context) ([]*cluster.Direct, func(), error) {
		return []*cluster.Direct{{Server: e.Batchgate, Certificate: e.Certificate}, {Server: &second, Certificate: e.Certificate}}, func() {}, nil
	}
	if err := i.Run(t.Context()); !errors.Is(err, steps.ErrRolledBack) || !strings.Contains(err.Error(), "verifying what Batchgate has") {
		t.Errorf("the error is %v", err)
	}
	e.checkShared()
}
