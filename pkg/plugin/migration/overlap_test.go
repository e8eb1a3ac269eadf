// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package migration

import (
	"errors"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
)

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
		other.Resume, other.Etcd = true, e.store("dedicated etcd", etcds.dedicated)
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

// An import was killed after its takeover. Somebody edits the freeze, a client writes to the
// dedicated etcd, and somebody restores the freeze.
func TestRollback_FreezeEditedAndRestored(t *testing.T) {
	e := newTestEnv(t)
	e.enter(states[4])
	e.edit(policy.FreezeName, edits["changed and restored"])
	job := newJob("acknowledged")
	e.want["jobs/default/acknowledged"] = string(job.UID)
	if err := (etcdStorage{etcds.dedicated}).Put("jobs", job); err != nil {
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
