package drills

import (
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/batchgate/batchgate/test/framework"
)

// firstRevision is that of the overlay's init container.
const firstRevision = 1_000_000_000_000

func TestJobsRunOnTheEtcdOfTheirOwn(t *testing.T) {
	d := start(t, framework.Features{})
	began := time.Now()
	own, err := d.InstallOwnEtcd(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("installed in %s", time.Since(began))
	etcd := openEtcd(t, own.Endpoints, own.CAFile, own.CertFile, own.KeyFile)
	if err := d.TakeOver(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Its watch of Jobs is held by kube-apiserver, which sees nothing of this etcd.
	if err := d.ControllerManager.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := d.ControllerManager.Start(); err != nil {
		t.Fatal(err)
	}
	d.runGatedJob("work")
	d.storedIn(etcd, openEtcd(t, []string{d.EtcdURL()}, "", "", ""), "jobs", "work")

	d.eventually("have three members that agree", func() error {
		agreed, err := hashes(t.Context(), etcd)
		if err == nil {
			t.Log(agreed)
		}
		return err
	})
	for i, endpoint := range own.Endpoints {
		status, err := etcd.Status(t.Context(), endpoint)
		if err != nil {
			t.Fatal(err)
		}
		if status.Header.Revision <= firstRevision {
			t.Errorf("member %d is at the revision %d", i, status.Header.Revision)
		}
	}
	checkCompacted(t, etcd)

	// Init containers run again at every start of a Pod, and must leave the data alone.
	for i, member := range own.Members {
		if err := member.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := own.Pods[i].Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	d.eventually("be patched after all members were killed", func() error {
		return d.kubectl("label", "--overwrite", "job", "work", "after=crash")
	})
	checkCompacted(t, etcd)
}

// checkCompacted expects the answer that makes a client list anew for a watch from a revision
// as the cluster's etcd has them.
func checkCompacted(t *testing.T, etcd *clientv3.Client) {
	t.Helper()
	select {
	case response := <-etcd.Watch(t.Context(), "/registry/jobs/", clientv3.WithPrefix(), clientv3.WithRev(5000)):
		if response.CompactRevision < firstRevision {
			t.Errorf("the watch is answered with %+v", response)
		}
	case <-time.After(patience):
		t.Error("a watch from an old revision is told nothing")
	}
}
