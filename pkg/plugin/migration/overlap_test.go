// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package migration

import (
	"errors"
	"strings"
	"testing"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
)

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
