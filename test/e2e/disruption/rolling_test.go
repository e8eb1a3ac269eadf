package disruption

import (
	"fmt"
	"regexp"
	"testing"

	"k8s.io/client-go/discovery"

	"github.com/batchgate/batchgate/test/framework"
)

const rollouts = 3

// replicated starts a control plane with v1.batch taken over by two replicas.
func replicated(t *testing.T) *drill {
	t.Helper()
	d := start(t, framework.ClusterOptions{})
	if err := d.InstallReplicas(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if err := d.TakeOver(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

// rollOut replaces all replicas as the Deployment does: one more is started, and once it is
// ready an old one is asked to end, which the next does not wait for.
func (d *drill) rollOut() {
	d.t.Helper()
	old := d.Replicas
	for _, replica := range old {
		if _, err := d.StartReplica(d.t.Context()); err != nil {
			d.t.Fatal(err)
		}
		d.TerminateReplica(replica)
	}
	for _, replica := range old {
		if err := replica.WaitForExit(); err != nil {
			d.t.Error(err)
		}
	}
}

func TestARollingRestartOfTwoReplicasFailsNoRequest(t *testing.T) {
	d := replicated(t)
	answers := d.exacting()
	follower := d.follow()
	load := d.startLoad()
	for range rollouts {
		d.rollOut()
	}
	for _, replica := range d.Replicas {
		d.eventually("spread the requests over "+replica.Name, func() error { return d.servesJobs(replica) })
	}
	outcome := load.finish(d.EtcdURL())
	if outcome.failures > 0 || answers.total() > 0 {
		t.Errorf("%d requests have failed: %v; clients have seen %s", outcome.failures, outcome.errors, answers)
	}
	d.eventually("have been told of all Jobs", func() error { return follower.sawAll(load) })
	t.Logf("a watch ended in order %d times", follower.ends)
	if len(follower.broken) > 0 {
		t.Errorf("%d watches have not ended in order: %v", len(follower.broken), follower.broken)
	}
	if follower.lists > 0 {
		t.Errorf("a watch could not be resumed %d times", follower.lists)
	}
	if follower.ends == 0 {
		t.Error("no watch has ended: were the replicas replaced?")
	}
}

var jobRequests = regexp.MustCompile(`(?m)^apiserver_request_total\{.*group="batch".*resource="jobs".*verb="(POST|PATCH|DELETE)"`)

// servesJobs returns an error while a replica has not answered any request of the writers.
func (d *drill) servesJobs(replica *framework.Replica) error {
	client, err := discovery.NewDiscoveryClientForConfig(d.ReplicaConfig(replica))
	if err != nil {
		return err
	}
	metrics, err := client.RESTClient().Get().AbsPath("/metrics").DoRaw(d.t.Context())
	if err != nil {
		return err
	}
	if !jobRequests.Match(metrics) {
		return fmt.Errorf("%s has answered no write of a Job", replica.Name)
	}
	return nil
}
