// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/batchgate/batchgate/pkg/apiserver"
	"github.com/batchgate/batchgate/pkg/apiserver/options"
	"github.com/batchgate/batchgate/pkg/embeddedetcd"
	"github.com/batchgate/batchgate/pkg/pki"
	"github.com/batchgate/batchgate/pkg/standalone"
)

// waitTimeout bounds every wait for something that must happen. It only decides how soon a
// broken server fails a test, so it leaves time for a busy machine. It is longer than the server's
// own shutdown timeout of one minute.
const waitTimeout = 2 * time.Minute

// pollInterval is how often eventually checks its condition.
const pollInterval = 10 * time.Millisecond

// setup changes the configuration that the standalone command runs with.
type setup struct {
	options func(*options.Options)
	config  func(*apiserver.Config)
	// etcd is the endpoint of another server's etcd. If it is empty, the server gets its own.
	etcd string
	// notReady is set for a server that cannot become ready. startServer then waits only until
	// it responds.
	notReady bool
}

// server is a Batchgate server in this process, assembled as in the standalone command.
type server struct {
	url          string
	ca           *pki.Authority
	etcd         *clientv3.Client
	etcdEndpoint string
	// handler is the HTTP handler with all its filters.
	handler http.Handler

	// admin and gc are in system:masters. gc has the name of the garbage collector.
	admin, gc *user

	stop func() error
}

func (s *server) stopAfterTest(t *testing.T) {
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Errorf("stopping server: %v", err)
		}
	})
}

// newServer starts a server for one test.
func newServer(t *testing.T, changes setup) *server {
	t.Helper()
	s, err := startServer(t.TempDir(), changes)
	if err != nil {
		t.Fatalf("starting server: %v", err)
	}
	t.Cleanup(func() {
		if err := s.stop(); err != nil {
			t.Errorf("stopping server: %v", err)
		}
	})
	return s
}

// startServer starts a server that keeps its data in directory, and returns once it is
// ready.
func startServer(directory string, changes setup) (*server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	address := listener.Addr().(*net.TCPAddr)
	files, err := standalone.Prepare(directory, address.IP, address.Port)
	if err != nil {
		return nil, err
	}
	o := options.New()
	o.SecureServing.Listener = listener
	o.SecureServing.ServerCert.CertKey.CertFile = files.ServingCert
	o.SecureServing.ServerCert.CertKey.KeyFile = files.ServingKey
	o.Authentication.ClientCert.ClientCA = files.CA
	o.EmbeddedEtcd.Directory = filepath.Join(directory, "etcd")
	o.ServerRun.ShutdownSendRetryAfter = true
	if changes.options != nil {
		changes.options(o)
	}
	if err := errors.Join(o.ServerRun.ComponentGlobalsRegistry.Set(), o.Complete(), o.Validate()); err != nil {
		return nil, err
	}

	ctx, cancel := context.WithCancel(context.Background())
	s := &server{url: "https://" + address.String(), etcdEndpoint: changes.etcd}
	stopEtcd := func() {}
	if changes.etcd == "" {
		etcd, err := embeddedetcd.Start(ctx, o.EmbeddedEtcd)
		if err != nil {
			cancel()
			return nil, err
		}
		s.etcdEndpoint, stopEtcd = etcd.Endpoint(), etcd.Stop
	}
	o.Etcd.StorageConfig.Transport.ServerList = []string{s.etcdEndpoint}
	served := make(chan error, 1)
	s.stop = func() error {
		cancel()
		err := <-served
		if s.etcd != nil {
			err = errors.Join(err, s.etcd.Close())
		}
		stopEtcd()
		return err
	}
	if err := s.serve(ctx, o, changes.config, served); err != nil {
		served <- nil
		return nil, errors.Join(err, s.stop())
	}
	if err := s.connect(directory, changes.notReady); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// serve runs the server until ctx is done, then sends its error to served.
func (s *server) serve(ctx context.Context, o *options.Options, change func(*apiserver.Config), served chan<- error) error {
	config, err := o.StandaloneConfig()
	if err != nil {
		return err
	}
	if change != nil {
		change(config)
	}
	server, err := config.Complete().New()
	if err != nil {
		return err
	}
	s.handler = server.Handler
	prepared := server.PrepareRun()
	go func() { served <- prepared.RunWithContext(ctx) }()
	return nil
}

// connect creates the users and the etcd client of s, then waits until the server is ready.
// With notReady it waits until the server responds at all.
func (s *server) connect(directory string, notReady bool) error {
	var err error
	if s.ca, err = pki.LoadOrCreate(filepath.Join(directory, "pki", "ca.crt"), filepath.Join(directory, "pki", "ca.key"), ""); err != nil {
		return err
	}
	if s.etcd, err = clientv3.New(clientv3.Config{Endpoints: []string{s.etcdEndpoint}}); err != nil {
		return fmt.Errorf("connecting to etcd: %w", err)
	}
	if s.admin, err = s.newUser("admin", "system:masters"); err != nil {
		return err
	}
	if s.gc, err = s.newUser("system:serviceaccount:kube-system:generic-garbage-collector", "system:masters"); err != nil {
		return err
	}
	return wait.PollUntilContextTimeout(context.Background(), 20*time.Millisecond, waitTimeout, true, func(ctx context.Context) (bool, error) {
		resp, err := s.admin.send(ctx, request{method: http.MethodGet, path: "/readyz"})
		return err == nil && (resp.code == http.StatusOK || notReady), nil
	})
}

// eventually polls until condition returns nil. The description is a verb phrase for the failure
// message, such as "be ready".
func eventually(t testing.TB, description string, condition func(context.Context) error) {
	t.Helper()
	var last error
	err := wait.PollUntilContextTimeout(t.Context(), pollInterval, waitTimeout, true, func(ctx context.Context) (bool, error) {
		last = condition(ctx)
		return last == nil, nil
	})
	if err != nil {
		t.Fatalf("waiting to %s: %v; last error: %v", description, err, last)
	}
}
