// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package migration

import (
	"context"
	"errors"
	"strings"
	"testing"

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
			for n := checks; ; n++ {
				e := newTestEnv(t)
				e.enter(states[3])
				request, err := e.RunWithFault(n, mode, func() error { return resume(e) })
				if request == "" {
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

// An import hangs before it writes to etcd, for example because a laptop sleeps. Another one finishes
// it, and clients write. The first one continues, and must not overwrite that.
func TestImport_ContinuesAfterOther(t *testing.T) {
	e := newTestEnv(t)
	done := false
	e.Before = func(request string) error {
		if request != "dedicated etcd commit" || done {
			return nil
		}
		done = true
		other := e.newImport()
		other.Resume, other.Etcd = true, e.store("dedicated etcd", e.etcds.dedicated)
		if err := other.Run(t.Context()); err != nil {
			t.Error(err)
		}
		delete(e.want, "jobs/default/pi")
		return e.KubeAPIServer.BatchV1().Jobs("default").Delete(t.Context(), "pi", metav1.DeleteOptions{})
	}
	if err := e.runImport(); !errors.Is(err, errMarked) {
		t.Errorf("the error is %v", err)
	}
	e.checkDedicated()
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
	if err := e.newRollback().Run(t.Context()); !errors.Is(err, steps.ErrNothingChanged) || !strings.Contains(err.Error(), "import --resume") {
		t.Errorf("the error is %v", err)
	}
	i := e.newImport()
	i.Resume = true
	if err := i.Run(t.Context()); err != nil {
		t.Error(err)
	}
	e.checkDedicated()
}

// A repeated import hangs before it looks at the guard, while a rollback moves the Jobs back. A guard
// that it creates then would deny writes, and make the next import discard kube-apiserver's Jobs.
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
