// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"context"
	"errors"
	"time"

	"github.com/batchgate/batchgate/test/framework"
)

// leader returns the leader of the cluster's etcd and the other members.
func (s *scenario) leader() (leader *framework.EtcdMember, followers []*framework.EtcdMember) {
	s.t.Helper()
	etcd := s.clusterEtcd()
	s.eventually("have a leader in etcd", func() error {
		leader, followers = nil, nil
		for _, m := range s.EtcdMembers {
			ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Second)
			status, err := etcd.Status(ctx, m.URL)
			cancel()
			if err == nil && status.Leader == status.Header.MemberId {
				leader = m
			} else {
				followers = append(followers, m)
			}
		}
		if leader == nil {
			return errors.New("no member says that it is the leader")
		}
		return nil
	})
	return leader, followers
}

// kill sends SIGKILL to members of etcd.
func (s *scenario) kill(members ...*framework.EtcdMember) {
	s.t.Helper()
	for _, m := range members {
		if err := m.Kill(); err != nil {
			s.t.Fatal(err)
		}
	}
}

// restart starts members of etcd again and waits until all members have the same data.
func (s *scenario) restart(members ...*framework.EtcdMember) {
	s.t.Helper()
	for _, m := range members {
		if err := m.Start(); err != nil {
			s.t.Fatal(err)
		}
	}
	s.awaitMembersAgree(s.clusterEtcd())
}

// stutter pauses a member of etcd several times, and lets it run in between.
func (s *scenario) stutter(m *framework.EtcdMember, times int, paused, running time.Duration) {
	s.t.Helper()
	for range times {
		if err := m.Pause(); err != nil {
			s.t.Fatal(err)
		}
		time.Sleep(paused)
		if err := m.Resume(); err != nil {
			s.t.Fatal(err)
		}
		time.Sleep(running)
	}
}
