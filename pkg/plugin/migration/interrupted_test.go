// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package migration

import (
	"strings"
	"testing"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/plugin/cluster/fake"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
)

// Any request may fail or be the last one before a kill. In each case the error describes the state
// correctly, the documented commands recover from it, and no Job is lost, including the Jobs that
// clients created before the recovery.
func TestImport_Interrupted(t *testing.T) {
	testInterrupted(t, newTestEnv, (*testEnv).runImport, (*testEnv).checkDedicated, (*testEnv).checkShared)
}

// The same if the dedicated etcd has outdated Jobs from before a rollback.
func TestImport_OverwriteInterrupted(t *testing.T) {
	prepare := func(t *testing.T) *testEnv {
		e := imported(t)
		if err := e.runRollback(); err != nil {
			t.Fatal(err)
		}
		e.write("new")
		return e
	}
	run := func(e *testEnv) error {
		i := e.newImport()
		i.Overwrite = true
		return i.Run(e.t.Context())
	}
	testInterrupted(t, prepare, run, (*testEnv).checkDedicated, (*testEnv).checkShared)
}

// The same for a rollback from the dedicated etcd.
func TestRollback_FromDedicatedEtcdInterrupted(t *testing.T) {
	prepare := func(t *testing.T) *testEnv {
		e := imported(t)
		e.write("new")
		return e
	}
	testInterrupted(t, prepare, (*testEnv).runRollback, (*testEnv).checkShared, (*testEnv).checkDedicated)
}

// testInterrupted runs an operation once per request that it sends and per mode, with a fault at that
// request. Recovery alternates between import and rollback. The state after request n is the state
// before request n+1, so both recover from every state.
func testInterrupted(t *testing.T, prepare func(*testing.T) *testEnv, run func(*testEnv) error, succeeded, undone func(*testEnv)) {
	for _, mode := range fake.Modes {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			copied := false
			for n := 1; ; n++ {
				e := prepare(t)
				request, err := e.RunWithFault(n, mode, func() error { return run(e) })
				if request == "" {
					// The number of reads varies, since operations wait, but the changes are always the same.
					if n < 10 || mode == fake.Fail && n < 50 || mode != fake.Fail && !copied || err != nil {
						t.Errorf("after %d requests, copied %t: %v", n, copied, err)
					}
					return
				}
				copied = copied || strings.HasSuffix(request, "etcd commit")
				switch {
				case err == nil:
					succeeded(e)
				case isOneOf(err, steps.ErrNothingChanged, steps.ErrRolledBack):
					undone(e)
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

// recoverByImport completes the move to the dedicated etcd.
func (e *testEnv) recoverByImport() {
	e.t.Helper()
	if e.APIService() == nil { // then status says to run rollback
		r := e.newRollback()
		r.Resume = e.has(policy.FreezeName)
		if err := r.Run(e.t.Context()); err != nil {
			e.t.Errorf("recreating the APIService: %v", err)
		}
	}
	i := e.newImport()
	i.Resume = e.has(policy.FreezeName)
	i.Overwrite = !e.TakenOver() // kube-apiserver's objects are authoritative
	if err := i.Run(e.t.Context()); err != nil {
		e.t.Errorf("recovery by import: %v", err)
	}
	e.checkDedicated()
}

// recoverByRollback makes kube-apiserver serve the Jobs.
func (e *testEnv) recoverByRollback() {
	e.t.Helper()
	r := e.newRollback()
	r.Resume = e.has(policy.FreezeName)
	r.Etcd = e.store("cluster etcd", e.etcds.shared)
	if err := r.Run(e.t.Context()); err != nil {
		e.t.Errorf("recovery by rollback: %v", err)
	}
	e.checkShared()
}
