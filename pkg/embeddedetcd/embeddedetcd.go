// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package embeddedetcd

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/klog/v2"
)

// startTimeout limits how long etcd may take to recover its data.
const startTimeout = 60 * time.Second

// Options configures the embedded etcd.
type Options struct {
	// Directory stores the data. Start creates it, accessible by its owner only, if it does not
	// exist.
	Directory string
}

// Server is a running etcd.
type Server struct {
	etcd      *embed.Etcd
	socketDir string
	lock      *os.File
	stopping  atomic.Bool
}

// Start starts etcd and waits until it serves. etcd listens on a Unix socket that only the user
// of this process can open. It does not authenticate clients, so with a TCP port every local user
// could bypass the gate and write Jobs.
//
// Start fails immediately if another process uses the directory, and after 60 seconds if etcd
// does not become ready.
func Start(ctx context.Context, opts Options) (*Server, error) {
	logger := klog.FromContext(ctx)
	if err := os.MkdirAll(opts.Directory, 0o700); err != nil {
		return nil, fmt.Errorf("creating the etcd directory: %w", err)
	}
	lock, err := lockDirectory(opts.Directory)
	if err != nil {
		return nil, err
	}
	s := &Server{lock: lock}
	// A socket path has at most 107 bytes. The path of opts.Directory may be longer.
	if s.socketDir, err = os.MkdirTemp("", "batchgate-etcd-"); err != nil {
		s.Stop()
		return nil, fmt.Errorf("creating a directory for the sockets of etcd: %w", err)
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
		return nil, fmt.Errorf("etcd on %s did not become ready within %s", opts.Directory, startTimeout)
	case <-ctx.Done():
		s.Stop()
		return nil, context.Cause(ctx)
	}
}

// Endpoint returns the URL for etcd clients.
func (s *Server) Endpoint() string { return "unix://" + filepath.Join(s.socketDir, "client") }

// Stop stops etcd after it has written its data to disk, and unlocks the directory.
func (s *Server) Stop() {
	s.stopping.Store(true)
	if s.etcd != nil {
		s.etcd.Close()
	}
	if s.socketDir != "" {
		os.RemoveAll(s.socketDir)
	}
	s.lock.Close()
}

func (s *Server) config(opts Options) (*embed.Config, error) {
	socket := func(name string) []url.URL {
		return []url.URL{{Scheme: "unix", Path: filepath.Join(s.socketDir, name)}}
	}
	cfg := embed.NewConfig()
	cfg.Name = "batchgate"
	cfg.Dir = filepath.Join(opts.Directory, "member-data")
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = socket("client"), socket("client")
	// A single member needs no peer listener. etcd would create an abstract socket for it, even if the
	// URL is a path, and abstract sockets have no permissions.
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = nil, socket("peer")
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	logger, err := newLogger(&s.stopping)
	if err != nil {
		return nil, fmt.Errorf("creating a logger for etcd: %w", err)
	}
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(logger)
	return cfg, nil
}
