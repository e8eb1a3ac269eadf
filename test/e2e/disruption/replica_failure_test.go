// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"context"
	"errors"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/test/framework"
)

// A write that cannot be retried ends its writer, which fails the test.
func TestReplicaFailureLosesNoJob(t *testing.T) {
	t.Parallel()
	s := startReplicated(t)
	for _, tc := range []struct {
		name, namespace string
		fail            func(s *scenario)
	}{
		{"one replica killed", "one-killed", (*scenario).killOneReplica},
		{"all replicas killed", "all-killed", (*scenario).killAllReplicas},
		{"one replica hung", "one-hung", (*scenario).hangReplica},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := s.inNamespace(t, tc.namespace)
			failed := s.countFailedResponses()
			follower := s.follow()
			load := s.startLoad()
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("clients received %s; writers gave up: %v", failed, load.writerErrors())
				}
			})
			follower.awaitMore(20)
			tc.fail(s)
			began := time.Now()
			s.eventually("serve Jobs again", s.listJobs)
			t.Logf("Batchgate served Jobs %s after the end of the failure", time.Since(began).Round(time.Millisecond))
			follower.awaitMore(20)
			load.finish()
			follower.awaitSawAll(load)
			watches := follower.stats()
			t.Logf("clients received %s; watches: %d broken, %d ended normally, %d started with a list",
				failed, len(watches.broken), watches.ends, watches.lists)
		})
	}
}

func (s *scenario) killOneReplica() {
	s.t.Helper()
	s.killReplica(s.Replicas[0])
	s.restartReplica(s.Replicas[0])
}

func (s *scenario) killAllReplicas() {
	s.t.Helper()
	for _, replica := range s.Replicas {
		s.killReplica(replica)
	}
	s.eventually("have no server of Jobs", func() error {
		if s.listJobs() == nil {
			return errors.New("a list succeeded")
		}
		return nil
	})
	for _, replica := range s.Replicas {
		s.restartReplica(replica)
	}
}

func (s *scenario) killReplica(replica *framework.Replica) {
	s.t.Helper()
	if err := replica.Kill(); err != nil {
		s.t.Fatal(err)
	}
}

// restartReplica starts a replica again, as a kubelet does, when it is no longer an endpoint.
func (s *scenario) restartReplica(replica *framework.Replica) {
	s.t.Helper()
	s.awaitEndpoint(replica, false)
	if err := s.RestartReplica(s.t.Context(), replica); err != nil {
		s.t.Fatal(err)
	}
}

// hangReplica pauses a replica until it is no longer an endpoint and ten requests in a row succeed.
// Then it resumes the replica and waits until it is an endpoint again.
func (s *scenario) hangReplica() {
	s.t.Helper()
	replica := s.Replicas[0]
	if err := replica.Pause(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = replica.Resume() })
	began, failed := time.Now(), 0
	s.eventually("serve Jobs from the other replica", func() error {
		if s.ReplicaReady(replica) {
			return errors.New("the paused replica is still an endpoint")
		}
		for range 10 {
			if err := s.listJobs(); err != nil {
				failed++
				return err
			}
		}
		return nil
	})
	s.t.Logf("the other replica served all requests %s after the pause; %d failed before", time.Since(began).Round(time.Millisecond), failed)
	if err := replica.Resume(); err != nil {
		s.t.Fatal(err)
	}
	s.awaitEndpoint(replica, true)
}

// awaitEndpoint waits until the Service proxy sends new connections to the replica, or, if want is
// false, until it no longer does.
func (s *scenario) awaitEndpoint(replica *framework.Replica, want bool) {
	s.t.Helper()
	s.eventually("change whether "+replica.Name+" is an endpoint", func() error {
		if s.ReplicaReady(replica) != want {
			return errors.New("it has not changed")
		}
		return nil
	})
}

// listJobs lists a Job with a short timeout.
func (s *scenario) listJobs() error {
	ctx, cancel := context.WithTimeout(s.t.Context(), 5*time.Second)
	defer cancel()
	_, err := s.Client.BatchV1().Jobs(s.namespace).List(ctx, metav1.ListOptions{Limit: 1})
	return err
}
