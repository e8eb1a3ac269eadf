// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package migration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/batchgate/batchgate/pkg/apis/policy"
)

// marker is the value of policy.MarkerKey in a dedicated etcd.
type marker struct {
	// Cluster is the UID of the cluster's namespace kube-system.
	Cluster string `json:"cluster"`
	State   string `json:"state"`

	// revision of the key.
	revision int64
}

const (
	// stateImporting means that the Jobs in the etcd are copies, which an import may replace.
	stateImporting = "importing"
	// stateServing means that the Jobs in the etcd are authoritative, or were until a rollback.
	stateServing = "serving"
)

// marker returns nil if there is none.
func (s *Store) marker(ctx context.Context) (*marker, error) {
	ctx, cancel := context.WithTimeout(ctx, etcdTimeout)
	defer cancel()
	response, err := s.kv.Get(ctx, policy.MarkerKey)
	if err != nil {
		return nil, fmt.Errorf("reading %s in etcd: %w", policy.MarkerKey, err)
	}
	if len(response.Kvs) == 0 {
		return nil, nil
	}
	m := &marker{}
	if err := json.Unmarshal(response.Kvs[0].Value, m); err != nil {
		return nil, fmt.Errorf("reading %s in etcd: %w", policy.MarkerKey, err)
	}
	m.revision = response.Kvs[0].ModRevision
	return m, nil
}

// errMarked is returned if another import has written the marker meanwhile.
var errMarked = errors.New("another import has started meanwhile, or has finished this one")

// mark writes the marker and sets its new revision in m. It allows writes as long as the marker has
// that revision. It fails if the revision in etcd is not the one in m. 0 means that there is no marker.
func (s *Store) mark(ctx context.Context, m *marker) error {
	content, err := json.Marshal(m)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, etcdTimeout)
	defer cancel()
	response, err := s.kv.Txn(ctx).
		If(clientv3.Compare(clientv3.ModRevision(policy.MarkerKey), "=", m.revision)).
		Then(clientv3.OpPut(policy.MarkerKey, string(content))).
		Commit()
	if err != nil {
		return fmt.Errorf("writing %s to etcd: %w", policy.MarkerKey, err)
	}
	if !response.Succeeded {
		return errMarked
	}
	m.revision = response.Header.Revision
	s.fence = &fence{key: policy.MarkerKey, revision: m.revision, lost: errMarked}
	return nil
}
