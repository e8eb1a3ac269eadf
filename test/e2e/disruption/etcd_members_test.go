package disruption

import (
	"context"
	"errors"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/batchgate/batchgate/test/framework"
)

// etcd returns a client of these members of etcd, past all servers.
func (d *drill) etcd(urls ...string) *clientv3.Client {
	d.t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: urls, Logger: zap.NewNop()})
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { client.Close() })
	return client
}

// memberStatus asks one member how it is. One that hangs is not waited for.
func (d *drill) memberStatus(m *framework.EtcdMember) (*clientv3.StatusResponse, error) {
	ctx, cancel := context.WithTimeout(d.t.Context(), 2*time.Second)
	defer cancel()
	return d.etcd(m.URL).Status(ctx, m.URL)
}

// leader returns the member that leads, and the others.
func (d *drill) leader() (leader *framework.EtcdMember, followers []*framework.EtcdMember) {
	d.t.Helper()
	d.eventually("have a leader in etcd", func() error {
		leader, followers = nil, nil
		for _, m := range d.EtcdMembers {
			status, err := d.memberStatus(m)
			if err == nil && status.Leader == status.Header.MemberId {
				leader = m
			} else {
				followers = append(followers, m)
			}
		}
		if leader == nil {
			return errors.New("no member says that it leads")
		}
		return nil
	})
	return leader, followers
}

// kill ends members without a chance to clean up.
func (d *drill) kill(members ...*framework.EtcdMember) {
	d.t.Helper()
	for _, m := range members {
		if err := m.Kill(); err != nil {
			d.t.Fatal(err)
		}
	}
}

// restart starts members again, and waits until they all have the same data.
func (d *drill) restart(members ...*framework.EtcdMember) {
	d.t.Helper()
	for _, m := range members {
		if err := m.Start(); err != nil {
			d.t.Fatal(err)
		}
	}
	d.sameData()
}

// sameData waits until all members have the same data, at one revision.
func (d *drill) sameData() {
	d.t.Helper()
	d.eventually("have the same data in all members of etcd", func() error {
		var at int64
		for i, m := range d.EtcdMembers {
			status, err := d.memberStatus(m)
			if err != nil {
				return fmt.Errorf("%s: %w", m.Name, err)
			}
			if i == 0 || status.Header.Revision < at {
				at = status.Header.Revision
			}
		}
		hashes := map[uint32]bool{}
		for _, m := range d.EtcdMembers {
			hash, err := d.etcd(m.URL).HashKV(d.t.Context(), m.URL, at)
			if err != nil {
				return fmt.Errorf("%s: %w", m.Name, err)
			}
			hashes[hash.Hash] = true
		}
		if len(hashes) != 1 {
			return fmt.Errorf("at revision %d there are the hashes %v", at, hashes)
		}
		return nil
	})
}

// progress waits until the load has added Jobs, by what a member of etcd has.
func (d *drill) progress(m *framework.EtcdMember) {
	d.t.Helper()
	const jobs = 10
	client, before := d.etcd(m.URL), int64(-1)
	d.eventually("see the load make progress", func() error {
		ctx, cancel := context.WithTimeout(d.t.Context(), 5*time.Second)
		defer cancel()
		now, err := client.Get(ctx, "/registry/jobs/"+d.namespace+"/", clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err != nil {
			return err
		}
		if before < 0 {
			before = now.Count
		}
		if now.Count < before+jobs {
			return fmt.Errorf("etcd had %d Jobs, and has %d", before, now.Count)
		}
		return nil
	})
}
