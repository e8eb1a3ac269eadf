package disruption

import (
	"testing"

	"github.com/batchgate/batchgate/test/framework"
)

// startTakenOver starts a control plane in which v1.batch is taken over. Its controllers may
// send as many requests as they need to follow the load: after it, they are not behind.
func startTakenOver(t *testing.T, features framework.ClusterOptions) *drill {
	t.Helper()
	features.ControllerManagerArgs = append(features.ControllerManagerArgs, "--kube-api-qps=1000", "--kube-api-burst=1000")
	d := start(t, features)
	d.install()
	if err := d.TakeOver(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestKilledLeaderOfEtcdLosesNoWriteAndNoWatch(t *testing.T) {
	d := startTakenOver(t, framework.ClusterOptions{EtcdMembers: 3})
	marker := d.newMarker()
	load := d.startLoad()
	leader, followers := d.leader()
	d.progress(leader)
	d.kill(leader)
	marker.change()
	d.progress(followers[0])
	next, _ := d.leader()
	t.Logf("the leader was %s, and is %s", leader.Name, next.Name)
	d.restart(leader)
	d.progress(leader)
	seen := load.finish(next.URL)
	seen.log(t)
	d.runs("after")
	marker.change()
	d.sameData()
}
