// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package migration

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
)

// Something goes wrong during the move, but no request fails.
func TestImport_UndoneIfVerificationFails(t *testing.T) {
	for name, tc := range map[string]struct {
		request   string // happens runs after it
		happens   func(*testEnv)
		step, err string
	}{
		"freeze lifted during copy":      {"dedicated etcd commit", func(e *testEnv) { e.lift(policy.FreezeName) }, "still frozen", "the freeze was lifted"},
		"late write":                     {"dedicated etcd commit", func(e *testEnv) { e.put("jobs", newJob("late")) }, "copy", "run this again"},
		"takeover by another client":     {"dedicated etcd commit", func(e *testEnv) { e.Touch() }, "take over", "was changed by another client"},
		"object lost after the takeover": {"kube-apiserver patch apiservices v1.batch", func(e *testEnv) { e.forget("jobs/default/pi") }, "objects through kube-apiserver", "1 missing (jobs/default/pi"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newTestEnv(t)
			done := false
			e.After = func(request string) error {
				if request == tc.request && !done {
					done = true
					tc.happens(e)
				}
				return nil
			}
			if err := e.runImport(); !errors.Is(err, steps.ErrRolledBack) {
				t.Errorf("unexpected error: %v", err)
			}
			if got := e.result(tc.step); !strings.Contains(got.Error, tc.err) {
				t.Errorf("%s: %+v, want %q", tc.step, got, tc.err)
			}
			e.checkShared()
		})
	}
}

// client-go repeats a patch that was stored, so the patch conflicts with itself.
func TestImport_RetriedPatchConflicts(t *testing.T) {
	e := newTestEnv(t)
	done := false
	e.After = func(request string) error {
		if request == "kube-apiserver patch apiservices v1.batch" && !done {
			done = true
			return apierrors.NewConflict(schema.GroupResource{Resource: "apiservices"}, policy.BatchAPIService, errors.New("the object has been modified"))
		}
		return nil
	}
	if err := e.runImport(); err != nil || !done {
		t.Errorf("the error is %v", err)
	}
	e.checkDedicated()
}

// The patch conflicts with itself, and v1.batch cannot be read back. The import must undo what it may
// have changed.
func TestImport_RetriedPatchUnknown(t *testing.T) {
	e := newTestEnv(t)
	patched, failed := false, false
	e.After = func(request string) error {
		switch {
		case request == "kube-apiserver patch apiservices v1.batch" && !patched:
			patched = true
			return apierrors.NewConflict(schema.GroupResource{Resource: "apiservices"}, policy.BatchAPIService, errors.New("the object has been modified"))
		case patched && !failed:
			failed = true
			return errors.New("connection reset by peer")
		}
		return nil
	}
	if err := e.runImport(); !errors.Is(err, steps.ErrRolledBack) || !failed {
		t.Errorf("the error is %v", err)
	}
	e.checkShared()
}

// A rollback ends an import that is about to mark the dedicated etcd as serving.
func TestImport_RolledBackBeforeMark(t *testing.T) {
	e := newTestEnv(t)
	patches := 0
	e.Before = func(request string) error {
		if request == "kube-apiserver patch apiservices v1.batch" {
			if patches++; patches == 2 {
				e.Touch(func(a *apiregistrationv1.APIService) { a.Spec.Service, a.Annotations = nil, nil })
			}
		}
		return nil
	}
	if err := e.runImport(); !errors.Is(err, steps.ErrRolledBack) || !strings.Contains(e.result("mark as serving").Error, "was pointed to kube-apiserver by another client") {
		t.Errorf("%v, %+v", err, e.result("mark as serving"))
	}
	e.checkShared()
}

// forget deletes an object from the dedicated etcd.
func (e *testEnv) forget(id string) {
	if _, err := e.etcds.dedicated.Delete(context.Background(), e.dedicated.key(id)); err != nil {
		e.t.Error(err)
	}
}

func TestImport_UndoneIfUnavailable(t *testing.T) {
	e := newTestEnv(t)
	e.After = func(request string) error {
		e.Batchgate.Down = e.Batchgate.Down || e.TakenOver()
		return nil
	}
	i := e.newImport()
	i.Timeout = 20 * time.Millisecond
	if err := i.Run(t.Context()); !errors.Is(err, steps.ErrRolledBack) {
		t.Errorf("unexpected error: %v", err)
	}
	e.checkShared()
}
