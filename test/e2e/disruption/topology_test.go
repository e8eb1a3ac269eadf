// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// checkDenied fails the test unless the gate denies an annotation by kubectl.
func (s *scenario) checkDenied(job string) {
	s.t.Helper()
	if err := s.kubectl("annotate", "job", job, "by=test"); err == nil || !strings.Contains(err.Error(), denialMessage) {
		s.t.Errorf("annotating Job %s: %v, want a denial", job, err)
	}
}

// runGatedJob creates a Job, sends an allowed and a denied update, and waits until the Job is
// complete. Its Pod is held until then, because completions of a finished Job are not updatable.
func (s *scenario) runGatedJob(name string) {
	s.t.Helper()
	s.createHeld(name, 1, 1)
	if err := s.kubectl("patch", "job", name, "--type=merge", `--patch={"metadata":{"labels":{"tier":"batch"}},"spec":{"completions":2}}`); err != nil {
		s.t.Error(err)
	}
	s.checkDenied(name)
	s.release(name)
}

// takeOverAndBack takes over and rolls back while Batchgate uses the same etcd as kube-apiserver.
// It checks that Jobs created before, between and after complete and are stored in the right etcd,
// and not in the wrong one, which may be nil.
func (s *scenario) takeOverAndBack(right, wrong *clientv3.Client) {
	s.t.Helper()
	s.runJob("before")
	s.takeOver()
	s.checkDenied("before")
	s.runGatedJob("taken-over")
	if err := s.RollBack(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	s.eventually("be served by kube-apiserver", func() error { return s.kubectl("annotate", "--overwrite", "job", "taken-over", "by=test") })
	s.runJob("after")
	for _, name := range []string{"before", "taken-over", "after"} {
		s.checkStoredIn(right, wrong, "jobs", name)
	}
}
