package disruption

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/batchgate/batchgate/test/framework"
)

// firstRevision is that of the overlay's init container.
const firstRevision = 1_000_000_000_000

func TestJobsRunOnTheEtcdOfTheirOwn(t *testing.T) {
	d := start(t, framework.ClusterOptions{})
	began := time.Now()
	own, err := d.InstallDedicatedEtcd(t.Context())
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
	d.loseVolume(own, etcd, len(own.Pods)-1)
}

// loseVolume takes the data of a member away, and brings the member back as its init container
// says.
func (d *drill) loseVolume(own *framework.DedicatedEtcd, etcd *clientv3.Client, i int) {
	d.t.Helper()
	if err := own.Members[i].Kill(); err != nil {
		d.t.Fatal(err)
	}
	name := fmt.Sprintf("batchgate-etcd-%d", i)
	if err := os.RemoveAll(filepath.Join(d.Dir, "volumes", "data-"+name, "data")); err != nil {
		d.t.Fatal(err)
	}
	if err := own.Pods[i].Start(d.t.Context()); err == nil {
		d.t.Fatal("a member that has lost its data starts anew")
	}
	log, err := os.ReadFile(filepath.Join(d.Dir, name+"-seed.log"))
	if err != nil {
		d.t.Fatal(err)
	}
	said := regexp.MustCompile(`etcdctl member remove ([0-9a-f]+), then etcdctl member add ` + name + ` --peer-urls=([^"\s]+)`).FindSubmatch(log)
	if said == nil {
		d.t.Fatalf("the init container does not say what to do:\n%s", log)
	}
	id, err := strconv.ParseUint(string(said[1]), 16, 64)
	if err != nil {
		d.t.Fatal(err)
	}
	d.reconfigure("remove the member", rpctypes.ErrMemberNotFound, func(ctx context.Context) error {
		_, err := etcd.MemberRemove(ctx, id)
		return err
	})
	if err := own.Pods[i].Start(d.t.Context()); err == nil {
		d.t.Fatal("a member that the others do not have starts anew")
	}
	d.reconfigure("add the member", rpctypes.ErrPeerURLExist, func(ctx context.Context) error {
		_, err := etcd.MemberAdd(ctx, []string{string(said[2])})
		return err
	})
	if err := own.Pods[i].Start(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
	if err := own.Pods[i].WaitUntilReady(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
	d.eventually("have three members that agree again", func() error {
		_, err := hashes(d.t.Context(), etcd)
		return err
	})
}

// reconfigure changes the members of an etcd. It refuses to while they are not yet steady, and
// says nothing if the leader changes at that moment: as etcdctl does, it gives up soon, and a
// second try may find that the first has worked, by the error done.
func (d *drill) reconfigure(what string, done error, change func(context.Context) error) {
	d.t.Helper()
	d.eventually(what, func() error {
		ctx, cancel := context.WithTimeout(d.t.Context(), 5*time.Second)
		defer cancel()
		err := change(ctx)
		if errors.Is(err, done) {
			return nil
		}
		return err
	})
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
