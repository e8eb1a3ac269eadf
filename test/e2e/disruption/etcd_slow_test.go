// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"testing"
	"time"

	"github.com/batchgate/batchgate/test/framework"
)

func TestEtcdSlowMemberOnlyDelays(t *testing.T) {
	t.Parallel()
	s := startTakenOver(t, framework.ClusterOptions{EtcdMembers: 3})
	probe := s.newWatchProbe()
	load := s.startLoad()
	leader, followers := s.leader()
	s.awaitProgress(leader.URL)
	s.stutter(followers[0], 6, time.Second, 200*time.Millisecond)
	probe.change()
	s.awaitProgress(leader.URL)
	// First shorter, then longer than the election timeout of one second.
	s.stutter(leader, 6, 400*time.Millisecond, 200*time.Millisecond)
	probe.change()
	leader, _ = s.leader()
	s.stutter(leader, 2, 3*time.Second, time.Second)
	probe.change()
	next, _ := s.leader()
	t.Logf("the leader was %s and is %s", leader.Name, next.Name)
	s.awaitProgress(next.URL)
	load.finish().log(t)
	s.runJob("after")
	probe.change()
	s.awaitMembersAgree(s.clusterEtcd())
}
