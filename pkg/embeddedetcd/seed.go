package embeddedetcd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.uber.org/zap"
	"k8s.io/klog/v2"
)

// seedPrefix begins the names of unfinished directories, which a restart removes.
const seedPrefix = ".batchgate-seed-"

// Seed is the data that a new member of a cluster of etcd starts with. Members whose seeds
// agree in all but Name and PeerURLs are one cluster.
type Seed struct {
	// DataDir is made, and filled where it is empty. Its parent must be writable.
	DataDir string
	// Name, PeerURLs, InitialCluster and Token are those of etcd's flags.
	Name           string
	PeerURLs       []string
	InitialCluster string
	Token          string
	// Revision is the first one, at least 1. Those below it count as compacted.
	Revision int64
	// Members are all members. Those that run say whether this one may start anew.
	Members Members
}

// Sow fills the data directory, and reports whether it did: what has data is left alone, and
// so is the directory of a member that was added to those that run, which send it their data.
// It is all there or not at all, whenever the process ends.
func (s *Seed) Sow(ctx context.Context) (sown bool, err error) {
	if s.Revision < 1 {
		return false, fmt.Errorf("the first revision is %d: it must be at least 1", s.Revision)
	}
	logger := klog.FromContext(ctx)
	entries, err := os.ReadDir(s.DataDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("looking for data of etcd: %w", err)
	}
	if len(entries) > 0 {
		logger.Info("The data directory is not empty, and stays as it is", "directory", s.DataDir)
		return false, nil
	}
	joins, err := s.expected(ctx)
	if err != nil {
		return false, err
	}
	if joins {
		logger.Info("The data will come from the other members", "directory", s.DataDir)
		return false, nil
	}
	parent := filepath.Dir(s.DataDir)
	if err := makeParent(parent); err != nil {
		return false, err
	}
	work, err := os.MkdirTemp(parent, seedPrefix)
	if err != nil {
		return false, fmt.Errorf("making a directory beside that of the data: %w", err)
	}
	defer os.RemoveAll(work)
	file := filepath.Join(work, "snapshot")
	if err := saveEmpty(ctx, filepath.Join(work, "empty"), file); err != nil {
		return false, fmt.Errorf("making an empty snapshot: %w", err)
	}
	data := filepath.Join(work, "data")
	err = snapshot.NewV3(zap.NewNop()).Restore(snapshot.RestoreConfig{
		SnapshotPath:        file,
		OutputDataDir:       data,
		Name:                s.Name,
		PeerURLs:            s.PeerURLs,
		InitialCluster:      s.InitialCluster,
		InitialClusterToken: s.Token,
		RevisionBump:        uint64(s.Revision),
		MarkCompacted:       true,
	})
	if err != nil {
		return false, fmt.Errorf("restoring the empty snapshot: %w", err)
	}
	if err := os.Remove(s.DataDir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if err := os.Rename(data, s.DataDir); err != nil {
		return false, fmt.Errorf("putting the data in place: %w", err)
	}
	logger.Info("Made the data of a new member", "directory", s.DataDir, "name", s.Name, "revision", s.Revision)
	return true, syncDirectory(parent)
}

// makeParent makes the directory, and removes what former calls have left in it.
func makeParent(parent string) error {
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return fmt.Errorf("making the parent of the data directory: %w", err)
	}
	entries, err := os.ReadDir(parent)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), seedPrefix) {
			if err := os.RemoveAll(filepath.Join(parent, entry.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// saveEmpty writes a snapshot of an etcd that nobody has written to. Two of them may differ,
// but not in what a restore keeps of them.
func saveEmpty(ctx context.Context, directory, file string) error {
	etcd, err := Start(ctx, Options{Directory: directory})
	if err != nil {
		return err
	}
	defer etcd.Stop()
	config := clientv3.Config{Endpoints: []string{etcd.Endpoint()}, Logger: zap.NewNop()}
	_, err = snapshot.NewV3(zap.NewNop()).Save(ctx, config, file)
	return err
}

// syncDirectory makes what was renamed in a directory last.
func syncDirectory(path string) error {
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	defer directory.Close()
	return directory.Sync()
}
