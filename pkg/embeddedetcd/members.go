// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package embeddedetcd

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"syscall"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"k8s.io/klog/v2"
)

// defaultMembersTimeout limits how long a seed waits for the other members. When a new etcd cluster
// starts, none of them responds.
const defaultMembersTimeout = 10 * time.Second

// dialTimeout limits a connection to one member.
const dialTimeout = 3 * time.Second

// Members configures a client for the running members of an etcd cluster.
type Members struct {
	// Endpoints are the client URLs of all members. If it is empty, the seed does not ask them.
	Endpoints []string
	// TrustedCAFile verifies the members. CertFile and KeyFile are the client certificate.
	TrustedCAFile, CertFile, KeyFile string

	// timeout replaces defaultMembersTimeout unless it is 0.
	timeout time.Duration
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
	listCtx, cancel := context.WithTimeout(ctx, s.Members.connectTimeout())
	defer cancel()
	// A serializable read works without a quorum, which a new cluster does not have yet.
	response, err := client.MemberList(listCtx, clientv3.WithSerializable())
	if err != nil {
		if runErr := s.Members.verifyNoneRuns(ctx); runErr != nil {
			return false, fmt.Errorf("asking the members of the etcd cluster whether %s is new: %w: %w", s.Name, err, runErr)
		}
		klog.FromContext(ctx).Info("No member runs, assuming a new etcd cluster", "endpoints", s.Members.Endpoints, "reason", err.Error())
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

func (m *Members) connectTimeout() time.Duration {
	return cmp.Or(m.timeout, defaultMembersTimeout)
}

// verifyNoneRuns returns an error unless no member answers because none runs. Errors of TLS, of the
// network or of DNS have other reasons, and the data of a lost member must not be created again.
func (m *Members) verifyNoneRuns(ctx context.Context) error {
	for _, endpoint := range m.Endpoints {
		target, err := url.Parse(endpoint)
		if err != nil {
			return err
		}
		if err := m.dial(ctx, target); !stopped(err) {
			return fmt.Errorf("it is unknown whether the member at %s has data: %w", endpoint, err)
		}
	}
	return nil
}

// dial connects to a member and ends the connection.
func (m *Members) dial(ctx context.Context, target *url.URL) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", target.Host)
	if err != nil {
		return err
	}
	defer conn.Close()
	config, err := m.tlsConfig()
	switch {
	case err != nil:
		return err
	case config == nil:
		return errStarting
	}
	config = config.Clone()
	config.ServerName = target.Hostname()
	switch err := tls.Client(conn, config).HandshakeContext(ctx); {
	case errors.Is(err, context.DeadlineExceeded):
		return errStarting
	case err != nil:
		return err
	}
	return errors.New("it accepts connections, but does not list the members")
}

// errStarting is returned for a member that accepts connections and does not answer. etcd does that
// as long as too few members of a new cluster run.
var errStarting = errors.New("the member starts")

// stopped reports whether a connection failed because the member does not run: its Pod does not
// exist, so that its name is unknown, or it does not listen, or it waits for the others.
func stopped(err error) bool {
	var dns *net.DNSError
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, errStarting) || errors.As(err, &dns) && dns.IsNotFound
}

func (m *Members) newClient() (*clientv3.Client, error) {
	config, err := m.tlsConfig()
	if err != nil {
		return nil, err
	}
	return clientv3.New(clientv3.Config{Endpoints: m.Endpoints, Logger: zap.NewNop(), TLS: config})
}

// tlsConfig returns nil if no files are set.
func (m *Members) tlsConfig() (*tls.Config, error) {
	info := transport.TLSInfo{TrustedCAFile: m.TrustedCAFile, CertFile: m.CertFile, KeyFile: m.KeyFile}
	if info.Empty() && info.TrustedCAFile == "" {
		return nil, nil
	}
	return info.ClientConfig()
}
