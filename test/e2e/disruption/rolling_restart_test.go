// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"fmt"
	"regexp"
	"testing"

	"k8s.io/client-go/discovery"

	"github.com/batchgate/batchgate/test/framework"
)

const rollingRestarts = 3

func TestRollingRestartFailsNoRequest(t *testing.T) {
	t.Parallel()
	s := startReplicated(t)
	failed := s.countFailedResponses()
	follower := s.follow()
	load := s.startLoad()
	for range rollingRestarts {
		s.rollingRestart()
	}
	for _, replica := range s.Replicas {
		s.eventually("send requests to "+replica.Name, func() error { return s.checkServesWrites(replica) })
	}
	load.finishUnaffected()
	if failed.total() > 0 {
		t.Errorf("clients received failed responses: %s", failed)
	}
	follower.awaitSawAll(load)
	watches := follower.stats()
	t.Logf("%d watches ended normally", watches.ends)
	if len(watches.broken) > 0 {
		t.Errorf("%d watches broke: %v", len(watches.broken), watches.broken)
	}
	if watches.lists > 0 {
		t.Errorf("%d watches had to list again", watches.lists)
	}
	if watches.ends == 0 {
		t.Error("no watch ended, so the replicas were not replaced")
	}
}

// startReplicated starts a control plane in which two replicas of Batchgate serve v1.batch.
func startReplicated(t *testing.T) *scenario {
	t.Helper()
	s := start(t, framework.ClusterOptions{})
	if err := s.InstallReplicas(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	s.takeOver()
	return s
}

// rollingRestart replaces all replicas as the Deployment does: it starts a new replica, and when
// that is ready it terminates an old one. It starts the next one without waiting for the
// termination.
func (s *scenario) rollingRestart() {
	s.t.Helper()
	old := s.Replicas
	for _, replica := range old {
		if _, err := s.StartReplica(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
		s.TerminateReplica(replica)
	}
	for _, replica := range old {
		if err := replica.WaitForExit(); err != nil {
			s.t.Error(err)
		}
	}
}

var jobWrites = regexp.MustCompile(`(?m)^apiserver_request_total\{.*group="batch".*resource="jobs".*verb="(POST|PATCH|DELETE)"`)

// checkServesWrites returns an error unless the replica has served a write of a Job.
func (s *scenario) checkServesWrites(replica *framework.Replica) error {
	client, err := discovery.NewDiscoveryClientForConfig(s.ReplicaConfig(replica))
	if err != nil {
		return err
	}
	metrics, err := client.RESTClient().Get().AbsPath("/metrics").DoRaw(s.t.Context())
	if err != nil {
		return err
	}
	if !jobWrites.Match(metrics) {
		return fmt.Errorf("%s has served no write of a Job", replica.Name)
	}
	return nil
}
