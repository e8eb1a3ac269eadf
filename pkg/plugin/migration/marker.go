// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package migration

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/batchgate/batchgate/pkg/apis/policy"
)

// marker is the value of policy.MarkerKey in a dedicated etcd.
type marker struct {
	// Cluster is the UID of the cluster's namespace kube-system.
	Cluster string `json:"cluster"`
	State   string `json:"state"`
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
	return m, nil
}

func (s *Store) mark(ctx context.Context, m marker) error {
	content, err := json.Marshal(m)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, etcdTimeout)
	defer cancel()
	response, err := s.kv.Put(ctx, policy.MarkerKey, string(content))
	if err != nil {
		return fmt.Errorf("writing %s to etcd: %w", policy.MarkerKey, err)
	}
	s.marked = response.Header.Revision
	return nil
}
