// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package embeddedetcd

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"k8s.io/klog/v2"
)

// memberListTimeout limits how long a seed waits for the other members. When a new etcd cluster
// starts, none of them responds.
const memberListTimeout = 10 * time.Second

// Members configures a client for the running members of an etcd cluster.
type Members struct {
	// Endpoints are the client URLs of all members. If it is empty, the seed does not ask them.
	Endpoints []string
	// TrustedCAFile verifies the members. CertFile and KeyFile are the client certificate.
	TrustedCAFile, CertFile, KeyFile string
}

// joinsRunningCluster reports whether the running members have added this member and wait for it
// to start without data. Seeded data would then belong to a different member. It returns an
// error if this member has run before: the others remember what it acknowledged, but its data is
// lost.
func (s *Seed) joinsRunningCluster(ctx context.Context) (bool, error) {
	if len(s.Members.Endpoints) == 0 {
		return false, nil
	}
	client, err := s.Members.newClient()
	if err != nil {
		return false, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, memberListTimeout)
	defer cancel()
	// A serializable read works without a quorum, which a new cluster does not have yet.
	response, err := client.MemberList(ctx, clientv3.WithSerializable())
	if err != nil {
		klog.FromContext(ctx).Info("No other member responded, assuming a new etcd cluster", "endpoints", s.Members.Endpoints, "reason", err.Error())
		return false, nil
	}
	for _, member := range response.Members {
		if !slices.ContainsFunc(member.PeerURLs, func(url string) bool { return slices.Contains(s.PeerURLs, url) }) {
			continue
		}
		switch {
		case member.Name == "": // Added by "etcdctl member add" and not started yet.
			return true, nil
		case len(member.ClientURLs) > 0:
			return false, fmt.Errorf("the member %s has run before and has lost its data: in a running member, run "+
				"etcdctl member remove %x, then etcdctl member add %s --peer-urls=%s", s.Name, member.ID, s.Name, s.PeerURLs[0])
		default: // Part of the same new cluster.
			return false, nil
		}
	}
	return false, fmt.Errorf("the running members have no member %s: in one of them, run etcdctl member add %s --peer-urls=%s", s.Name, s.Name, s.PeerURLs[0])
}

func (m *Members) newClient() (*clientv3.Client, error) {
	config := clientv3.Config{Endpoints: m.Endpoints, Logger: zap.NewNop()}
	info := transport.TLSInfo{TrustedCAFile: m.TrustedCAFile, CertFile: m.CertFile, KeyFile: m.KeyFile}
	if !info.Empty() || info.TrustedCAFile != "" {
		var err error
		if config.TLS, err = info.ClientConfig(); err != nil {
			return nil, err
		}
	}
	return clientv3.New(config)
}
