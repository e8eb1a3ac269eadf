package disruption

import (
	"testing"
	"time"

	"github.com/batchgate/batchgate/test/framework"
)

// hang lets a member go on only for moments.
func (d *drill) hang(m *framework.EtcdMember, times int, stopped, running time.Duration) {
	d.t.Helper()
	for range times {
		if err := m.Pause(); err != nil {
			d.t.Fatal(err)
		}
		time.Sleep(stopped)
		if err := m.Resume(); err != nil {
			d.t.Fatal(err)
		}
		time.Sleep(running)
	}
}

func TestSlowMemberOfEtcdDelaysRequestsAndWatchesOnly(t *testing.T) {
	d := startTakenOver(t, framework.ClusterOptions{EtcdMembers: 3})
	marker := d.newMarker()
	load := d.startLoad()
	leader, followers := d.leader()
	d.progress(leader)
	d.hang(followers[0], 6, time.Second, 200*time.Millisecond)
	marker.change()
	d.progress(leader)
	// Shorter than the second after which others vote, then longer.
	d.hang(leader, 6, 400*time.Millisecond, 200*time.Millisecond)
	marker.change()
	leader, _ = d.leader()
	d.hang(leader, 2, 3*time.Second, time.Second)
	marker.change()
	next, _ := d.leader()
	t.Logf("the leader was %s, and is %s", leader.Name, next.Name)
	d.progress(next)
	seen := load.finish(next.URL)
	seen.log(t)
	d.runs("after")
	marker.change()
	d.sameData()
}
