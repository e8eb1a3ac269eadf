// Package embeddedetcd runs a single-member etcd in this process, for one machine.
package embeddedetcd

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/klog/v2"
)

// startTimeout bounds how long etcd may take to recover its data.
const startTimeout = 60 * time.Second

// Options say where etcd keeps its data.
type Options struct {
	// Directory holds the data. It is made, readable by its owner only, where it is missing.
	Directory string
}

// Server is a running etcd.
type Server struct {
	etcd     *embed.Etcd
	sockets  string
	lock     *os.File
	stopping atomic.Bool
}

// Start starts etcd and waits until it serves. It listens on a Unix socket that only the
// user of this process can open: etcd knows no users, so whoever reaches it by a TCP port
// could write Jobs past the gate.
//
// It fails at once where another process uses the directory, and after 60 seconds where
// etcd does not become ready.
func Start(ctx context.Context, opts Options) (*Server, error) {
	logger := klog.FromContext(ctx)
	if err := os.MkdirAll(opts.Directory, 0o700); err != nil {
		return nil, fmt.Errorf("making the etcd directory: %w", err)
	}
	lock, err := lockDirectory(opts.Directory)
	if err != nil {
		return nil, err
	}
	s := &Server{lock: lock}
	// The path of a socket is at most 107 bytes long, which the directory may exceed.
	if s.sockets, err = os.MkdirTemp("", "batchgate-etcd-"); err != nil {
		s.Stop()
		return nil, fmt.Errorf("making a directory for the sockets of etcd: %w", err)
	}
	cfg, err := s.config(opts)
	if err != nil {
		s.Stop()
		return nil, err
	}
	logger.Info("Starting embedded etcd", "directory", opts.Directory)
	if s.etcd, err = embed.StartEtcd(cfg); err != nil {
		s.Stop()
		return nil, fmt.Errorf("starting etcd on %s: %w", opts.Directory, err)
	}
	select {
	case <-s.etcd.Server.ReadyNotify():
		return s, nil
	case err := <-s.etcd.Err():
		s.Stop()
		return nil, fmt.Errorf("starting etcd on %s: %w", opts.Directory, err)
	case <-time.After(startTimeout):
		s.Stop()
		return nil, fmt.Errorf("etcd on %s is not ready after %s", opts.Directory, startTimeout)
	case <-ctx.Done():
		s.Stop()
		return nil, context.Cause(ctx)
	}
}

// Endpoint is the URL clients reach etcd at.
func (s *Server) Endpoint() string { return "unix://" + filepath.Join(s.sockets, "client") }

// Stop stops etcd once its data is on disk, and releases the directory.
func (s *Server) Stop() {
	s.stopping.Store(true)
	if s.etcd != nil {
		s.etcd.Close()
	}
	if s.sockets != "" {
		os.RemoveAll(s.sockets)
	}
	s.lock.Close()
}

func (s *Server) config(opts Options) (*embed.Config, error) {
	socket := func(name string) []url.URL {
		return []url.URL{{Scheme: "unix", Path: filepath.Join(s.sockets, name)}}
	}
	cfg := embed.NewConfig()
	cfg.Name = "batchgate"
	cfg.Dir = filepath.Join(opts.Directory, "member-data")
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = socket("client"), socket("client")
	// It has no peers. A listener for them would be an abstract socket, whatever its path,
	// and that has no permissions.
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = nil, socket("peer")
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	logger, err := newLogger(&s.stopping)
	if err != nil {
		return nil, fmt.Errorf("making a logger for etcd: %w", err)
	}
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(logger)
	return cfg, nil
}

// lockDirectory takes the directory for this process. etcd locks its database too, but
// waits for the lock without a word.
func lockDirectory(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the etcd directory: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("the etcd directory %s is in use by another process: stop it, or choose another directory", dir)
		}
		return nil, fmt.Errorf("locking the etcd directory: %w", err)
	}
	return f, nil
}
