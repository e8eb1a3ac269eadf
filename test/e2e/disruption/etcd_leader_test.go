// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"testing"

	"github.com/batchgate/batchgate/test/framework"
)

func TestEtcdLeaderKilledLosesNothing(t *testing.T) {
	t.Parallel()
	s := startTakenOver(t, framework.ClusterOptions{EtcdMembers: 3})
	probe := s.newWatchProbe()
	load := s.startLoad()
	leader, followers := s.leader()
	s.awaitProgress(leader.URL)
	s.kill(leader)
	probe.change()
	s.awaitProgress(followers[0].URL)
	next, _ := s.leader()
	t.Logf("the leader was %s and is %s", leader.Name, next.Name)
	s.restart(leader)
	s.awaitProgress(leader.URL)
	load.finish().log(t)
	s.runJob("after")
	probe.change()
	s.awaitMembersAgree(s.clusterEtcd())
}
