package migration

import (
	"testing"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/plugin/cluster/fake"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
)

// Whichever request fails, or ends the plugin: the error tells the truth about the state, the
// documented commands lead out of it, and no Job is lost, neither one that existed nor one whose
// creation succeeded in between.
func TestImport_Interrupted(t *testing.T) {
	testInterrupted(t, newWorld, (*world).runImport, (*world).checkDedicated, (*world).checkShared)
}

// The same for the way back.
func TestRollback_FromDedicatedEtcdInterrupted(t *testing.T) {
	prepare := func(t *testing.T) *world {
		w := imported(t)
		w.write("new")
		return w
	}
	testInterrupted(t, prepare, (*world).runRollback, (*world).checkShared, (*world).checkDedicated)
}

// testInterrupted runs an operation once per request that it needs and per mode, with a fault at
// that request. Recovery alternates between the two directions: the state after a kill behind
// request n equals that before request n+1, so every state is left in both.
func testInterrupted(t *testing.T, prepare func(*testing.T) *world, run func(*world) error, succeeded, undone func(*world)) {
	for _, mode := range fake.Modes {
		t.Run(string(mode), func(t *testing.T) {
			for n := 1; ; n++ {
				w := prepare(t)
				request, err := w.RunWithFault(n, mode, func() error { return run(w) })
				if request == "" {
					if n < 50 || err != nil {
						t.Errorf("after %d requests: %v", n, err)
					}
					return
				}
				switch {
				case err == nil:
					succeeded(w)
				case isOneOf(err, steps.ErrNothingChanged, steps.ErrRolledBack):
					undone(w)
				}
				w.write("between")
				if n%2 == 0 {
					w.recoverByImport()
				} else {
					w.recoverByRollback()
				}
				if t.Failed() {
					t.Fatalf("request %d, %q: %v\n%+v", n, request, err, w.results)
				}
			}
		})
	}
}

// recoverByImport completes the move to the dedicated etcd.
func (w *world) recoverByImport() {
	w.t.Helper()
	if w.APIService() == nil { // then status says to run rollback
		if err := w.newRollback().Run(w.t.Context()); err != nil {
			w.t.Errorf("recreating the APIService: %v", err)
		}
	}
	i := w.newImport()
	i.Resume = w.has(policy.FreezeName)
	i.Overwrite = !w.TakenOver() // kube-apiserver's objects are authoritative
	if err := i.Run(w.t.Context()); err != nil {
		w.t.Errorf("recovery by import: %v", err)
	}
	w.checkDedicated()
}

// recoverByRollback makes kube-apiserver serve the Jobs.
func (w *world) recoverByRollback() {
	w.t.Helper()
	r := w.newRollback()
	r.Resume = w.has(policy.FreezeName)
	r.Etcd = w.shared
	if err := r.Run(w.t.Context()); err != nil {
		w.t.Errorf("recovery by rollback: %v", err)
	}
	w.checkShared()
}
