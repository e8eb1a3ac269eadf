// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package embeddedetcd

import (
	"context"
	"fmt"
	"path/filepath"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.uber.org/zap"
)

// restoreEmptySnapshot creates the member's data in the directory work and returns its path. Only
// restoring a snapshot can set the first revision of an etcd.
func (s *Seed) restoreEmptySnapshot(ctx context.Context, work string) (string, error) {
	file := filepath.Join(work, "snapshot")
	if err := saveEmptySnapshot(ctx, filepath.Join(work, "empty"), file); err != nil {
		return "", fmt.Errorf("creating an empty snapshot: %w", err)
	}
	data := filepath.Join(work, "data")
	return data, s.restore(file, data)
}

// restore creates the member's data from a snapshot, and adds the first revision to the snapshot's.
func (s *Seed) restore(file, data string) error { return s.restoreAt(file, data, uint64(s.Revision)) }

// restoreAt creates the member's data from a snapshot. If bump is not 0, it adds bump to the snapshot's
// revision, and etcd treats all lower revisions as compacted.
func (s *Seed) restoreAt(file, data string, bump uint64) error {
	err := snapshot.NewV3(zap.NewNop()).Restore(snapshot.RestoreConfig{
		SnapshotPath:        file,
		OutputDataDir:       data,
		Name:                s.Name,
		PeerURLs:            s.PeerURLs,
		InitialCluster:      s.InitialCluster,
		InitialClusterToken: s.Token,
		RevisionBump:        bump,
		MarkCompacted:       bump > 0,
	})
	if err != nil {
		return fmt.Errorf("restoring the snapshot: %w", err)
	}
	return nil
}

// saveEmptySnapshot saves a snapshot of a new etcd that runs in the directory. Two such snapshots
// may differ, but only in parts that a restore replaces.
func saveEmptySnapshot(ctx context.Context, directory, file string) error {
	etcd, err := Start(ctx, Options{Directory: directory})
	if err != nil {
		return err
	}
	defer etcd.Stop()
	return etcd.saveSnapshot(ctx, file)
}

func (s *Server) saveSnapshot(ctx context.Context, file string) error {
	config := clientv3.Config{Endpoints: []string{s.Endpoint()}, Logger: zap.NewNop()}
	_, err := snapshot.NewV3(zap.NewNop()).Save(ctx, config, file)
	return err
}
