// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package embeddedetcd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"k8s.io/klog/v2"
)

// Seed describes the initial data of a new etcd member: no keys, and a first revision that is
// higher than etcd's usual 1. A cluster of members with a common seed is a new etcd whose
// revisions do not overlap with the revisions of the etcd that it replaces. The seeds of its
// members differ in Name and PeerURLs only.
type Seed struct {
	// DataDir is etcd's --data-dir. Its parent must be writable.
	DataDir string
	// Name, PeerURLs, InitialCluster and Token are the values of etcd's flags --name,
	// --initial-advertise-peer-urls, --initial-cluster and --initial-cluster-token.
	Name           string
	PeerURLs       []string
	InitialCluster string
	Token          string
	// Revision is the first revision, at least 1. etcd treats lower revisions as compacted.
	Revision int64
	// Members configures how this member and the others tell each other whether they are new.
	Members Members
}

// CreateDataDir creates the data directory and reports whether it did. It does nothing if the
// directory contains data, or if the member was added to a running cluster, which sends its data
// to new members. Otherwise it waits until all other members have no data either, or data of an equal
// seed. It returns an error if one has other data, for example from a snapshot. The directory is complete
// or missing, even if the process is killed.
func (s *Seed) CreateDataDir(ctx context.Context) (created bool, err error) {
	if s.Revision < 1 {
		return false, fmt.Errorf("the first revision is %d: it must be at least 1", s.Revision)
	}
	logger := klog.FromContext(ctx)
	entries, err := os.ReadDir(s.DataDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("reading the data directory: %w", err)
	}
	if len(entries) > 0 {
		logger.Info("Kept the data directory, because it is not empty", "directory", s.DataDir)
		return false, nil
	}
	parent := filepath.Dir(s.DataDir)
	if err := createParent(parent); err != nil {
		return false, err
	}
	work, err := os.MkdirTemp(parent, workDirPrefix)
	if err != nil {
		return false, fmt.Errorf("creating a directory next to the data directory: %w", err)
	}
	defer os.RemoveAll(work)
	data, err := s.restoreEmptySnapshot(ctx, work)
	if err != nil {
		return false, err
	}
	hash, err := hashData(data)
	if err != nil {
		return false, fmt.Errorf("reading the new data: %w", err)
	}
	joins, err := s.joinsRunningCluster(ctx, hash)
	if err != nil {
		return false, err
	}
	if joins {
		logger.Info("Created no data, because the running members send it to the new one", "directory", s.DataDir)
		return false, nil
	}
	if err := os.Remove(s.DataDir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if err := os.Rename(data, s.DataDir); err != nil {
		return false, fmt.Errorf("moving the new data to the data directory: %w", err)
	}
	logger.Info("Created the data of a new member", "directory", s.DataDir, "name", s.Name, "revision", s.Revision)
	return true, syncDirectory(parent)
}
