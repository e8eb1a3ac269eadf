package disruption

import (
	"context"
	"errors"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/test/framework"
)

// What happens to replicas while there is load. What a writer cannot try again ends it, and so
// fails the test; what was lost shows in etcd.
func TestReplicasThatFailUnderLoadLoseNothing(t *testing.T) {
	d := replicated(t)
	for _, scenario := range []struct {
		name string
		fail func(d *drill)
	}{
		{"one-is-killed", func(d *drill) {
			d.killReplica(d.Replicas[0])
			d.revive(d.Replicas[0])
		}},
		{"all-are-killed", func(d *drill) {
			for _, replica := range d.Replicas {
				d.killReplica(replica)
			}
			d.eventually("see that nobody serves Jobs", func() error {
				if d.listJobs() == nil {
					return errors.New("they are served")
				}
				return nil
			})
			for _, replica := range d.Replicas {
				d.revive(replica)
			}
		}},
		{"one-hangs", (*drill).hangReplica},
	} {
		t.Run(scenario.name, func(t *testing.T) {
			d := d.in(t, scenario.name)
			answers := d.exacting()
			follower := d.follow()
			load := d.startLoad()
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("clients have seen %s; writers have given up: %v", answers, load.gaveUp())
				}
			})
			d.eventually("be under load", follower.sawMore(20))
			scenario.fail(d)
			began := time.Now()
			d.eventually("have Jobs served again", d.listJobs)
			t.Logf("%s after the end of it Jobs are served", time.Since(began).Round(time.Millisecond))
			d.eventually("go on", follower.sawMore(20))
			load.finish(d.EtcdURL())
			d.eventually("have been told of all Jobs", func() error { return follower.sawAll(load) })
			t.Logf("clients have seen %s; a watch broke or could not be resumed %d times, ended in order %d times, was begun anew by a list %d times",
				answers, len(follower.broken), follower.ends-follower.lists, follower.lists)
		})
	}
}

func (d *drill) killReplica(replica *framework.Replica) {
	d.t.Helper()
	if err := replica.Kill(); err != nil {
		d.t.Fatal(err)
	}
}

// revive starts a replica again, as kubelet does, once it is no endpoint any more.
func (d *drill) revive(replica *framework.Replica) {
	d.t.Helper()
	d.eventually("send no connection to "+replica.Name, func() error { return d.isEndpoint(replica, false) })
	if err := d.RestartReplica(d.t.Context(), replica); err != nil {
		d.t.Fatal(err)
	}
}

// isEndpoint returns an error unless the balancer sends connections to a replica, or does not.
func (d *drill) isEndpoint(replica *framework.Replica, want bool) error {
	if d.ReplicaReady(replica) != want {
		return errors.New("not yet")
	}
	return nil
}

// listJobs asks for Jobs as a client does that does not wait long.
func (d *drill) listJobs() error {
	ctx, cancel := context.WithTimeout(d.t.Context(), 5*time.Second)
	defer cancel()
	_, err := d.Client.BatchV1().Jobs(d.namespace).List(ctx, metav1.ListOptions{Limit: 1})
	return err
}

// hang halts a replica until it is no endpoint any more and new requests are all answered.
func (d *drill) hangReplica() {
	d.t.Helper()
	replica := d.Replicas[0]
	if err := replica.Pause(); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { _ = replica.Resume() })
	began, failed := time.Now(), 0
	d.eventually("answer while one hangs", func() error {
		if err := d.isEndpoint(replica, false); err != nil {
			return err
		}
		for range 10 {
			if err := d.listJobs(); err != nil {
				failed++
				return err
			}
		}
		return nil
	})
	d.t.Logf("new requests are answered by the other replica %s after one began to hang; %d were not before", time.Since(began).Round(time.Millisecond), failed)
	if err := replica.Resume(); err != nil {
		d.t.Fatal(err)
	}
	d.eventually("use it again", func() error { return d.isEndpoint(replica, true) })
}

// gaveUp returns why writers have ended before they were stopped, once the test is over.
func (l *load) gaveUp() []error {
	l.running.Wait()
	var errs []error
	for _, w := range l.writers {
		if w.err != nil {
			errs = append(errs, w.err)
		}
	}
	return errs
}
