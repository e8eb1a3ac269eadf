// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package embeddedetcd

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"k8s.io/klog/v2"
)

const (
	// membersPath is the path below a member's peer URL that lists all members, even without a quorum.
	membersPath = "/members"
	// requestTimeout limits a request to one member.
	requestTimeout = 3 * time.Second
	// maxHashResponse is the maximum size of a response that is read from etcdserver.PeerHashKVPath.
	maxHashResponse = 64 << 10
	// retryInterval is the time between two rounds of requests.
	retryInterval = time.Second
)

// Members configures the connections between the members. The values have the meaning of
// etcd's flags for peers.
type Members struct {
	// ListenURLs are the URLs at which this member tells the others that it has no data. They are
	// required if there are others.
	ListenURLs []string
	// TrustedCAFile verifies the other members. CertFile and KeyFile are the certificate of this
	// member, as a server and as a client.
	TrustedCAFile, CertFile, KeyFile string

	// timeout replaces requestTimeout unless it is 0.
	timeout time.Duration
}

func (m *Members) tlsInfo() transport.TLSInfo {
	return transport.TLSInfo{TrustedCAFile: m.TrustedCAFile, CertFile: m.CertFile, KeyFile: m.KeyFile, ClientCertAuth: true}
}

// joinsRunningCluster asks the other members about this one. It returns true if one of them says that
// this member was added to the running cluster. It must then start without data, because seeded data
// would belong to a different member. joinsRunningCluster returns an error if this member has run
// before: the others rely on what it acknowledged, but its data is lost.
//
// It returns false once every other member has no data, or the data of an equal seed, whose hash is
// given. It waits for a member that does not answer, because that member may have data.
func (s *Seed) joinsRunningCluster(ctx context.Context, seed mvcc.KeyValueHash) (bool, error) {
	others, err := s.otherMembers()
	if err != nil || len(others) == 0 {
		return false, err
	}
	stop, err := s.Members.announceNew()
	if err != nil {
		return false, fmt.Errorf("telling the other members that %s is new: %w", s.Name, err)
	}
	defer stop()
	client, err := s.Members.newClient()
	if err != nil {
		return false, err
	}
	var logged string
	for {
		var unknown []error
		joins := false
		for _, name := range slices.Sorted(maps.Keys(others)) {
			members, err := listMembers(ctx, client, others[name])
			if err == nil && len(members) > 0 {
				var self membership.Member
				if self, err = s.findIn(members); err != nil {
					return false, err
				}
				// A member that "etcdctl member add" has added has no name until it starts.
				if self.Name == "" {
					joins = true
					continue
				}
				// A member publishes its client URLs before it serves clients.
				unwritten := !slices.ContainsFunc(members, func(m membership.Member) bool { return len(m.ClientURLs) > 0 })
				err = checkSeeded(ctx, client, others[name], seed, unwritten)
				if errors.Is(err, errOtherData) {
					return false, fmt.Errorf("%s must not start without data beside the member %s, because %w: if that was restored "+
						"from a snapshot, restore %s from the same one; otherwise, %s", s.Name, name, err, s.Name, s.replaceCommands(self))
				}
			}
			if err != nil {
				unknown = append(unknown, fmt.Errorf("it is unknown whether the member %s has data: %w", name, err))
			}
		}
		if joins || len(unknown) == 0 {
			return joins, nil
		}
		waitsFor := errors.Join(unknown...)
		if text := waitsFor.Error(); text != logged {
			klog.FromContext(ctx).Info("Waiting until all members of the etcd cluster answer", "reason", text)
			logged = text
		}
		select {
		case <-ctx.Done():
			return false, fmt.Errorf("%w: %w", context.Cause(ctx), waitsFor)
		case <-time.After(retryInterval):
		}
	}
}

// otherMembers returns the peer URLs of the other members by name.
func (s *Seed) otherMembers() (types.URLsMap, error) {
	cluster, err := types.NewURLsMap(s.InitialCluster)
	if err != nil {
		return nil, fmt.Errorf("parsing the initial cluster: %w", err)
	}
	if _, found := cluster[s.Name]; !found {
		return nil, fmt.Errorf("the initial cluster has no member %q", s.Name)
	}
	delete(cluster, s.Name)
	return cluster, nil
}

// findIn finds this member in a list of the members of the cluster. It returns an error if this member
// has run before, or is not in the list.
func (s *Seed) findIn(members []membership.Member) (membership.Member, error) {
	for _, member := range members {
		if !slices.ContainsFunc(member.PeerURLs, func(url string) bool { return slices.Contains(s.PeerURLs, url) }) {
			continue
		}
		if len(member.ClientURLs) > 0 {
			return member, fmt.Errorf("the member %s has run before and has lost its data: %s", s.Name, s.replaceCommands(member))
		}
		return member, nil
	}
	return membership.Member{}, fmt.Errorf("the running members have no member %s: in one of them, run etcdctl member add %s --peer-urls=%s", s.Name, s.Name, s.PeerURLs[0])
}

// replaceCommands says which commands replace this member in a running cluster.
func (s *Seed) replaceCommands(self membership.Member) string {
	return fmt.Sprintf("in a running member, run etcdctl member remove %s, then etcdctl member add %s --peer-urls=%s", self.ID, s.Name, s.PeerURLs[0])
}

// listMembers asks one member for the members of the cluster. The list is empty if that member has
// no data either.
func listMembers(ctx context.Context, client *http.Client, peerURLs types.URLs) ([]membership.Member, error) {
	var errs []error
	for _, url := range peerURLs {
		members, err := listMembersAt(ctx, client, url.String())
		if err == nil {
			return members, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func listMembersAt(ctx context.Context, client *http.Client, peerURL string) ([]membership.Member, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, peerURL+membersPath, nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode == statusNew {
		return nil, nil
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s", request.URL, response.Status)
	}
	var members []membership.Member
	if err := json.NewDecoder(response.Body).Decode(&members); err != nil {
		return nil, fmt.Errorf("GET %s: %w", request.URL, err)
	}
	if len(members) == 0 {
		return nil, fmt.Errorf("GET %s: the list is empty", request.URL)
	}
	return members, nil
}

// newClient returns a client for the peer URLs of the other members.
func (m *Members) newClient() (*http.Client, error) {
	rt := &http.Transport{DisableKeepAlives: true}
	if info := m.tlsInfo(); !info.Empty() {
		var err error
		if rt.TLSClientConfig, err = info.ClientConfig(); err != nil {
			return nil, err
		}
	}
	return &http.Client{Transport: rt, Timeout: cmp.Or(m.timeout, requestTimeout)}, nil
}
