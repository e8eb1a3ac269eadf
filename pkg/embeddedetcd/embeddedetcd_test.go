// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package embeddedetcd

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

func start(t *testing.T, directory string) *Server {
	t.Helper()
	server, err := Start(t.Context(), Options{Directory: directory})
	if err != nil {
		t.Fatal(err)
	}
	return server
}

func newClient(t *testing.T, server *Server) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{server.Endpoint()}, DialTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestServer_DataSurvivesRestart(t *testing.T) {
	// Longer than the maximum length of a socket path.
	directory := filepath.Join(t.TempDir(), strings.Repeat("long/", 30))
	server := start(t, directory)
	if _, err := newClient(t, server).Put(t.Context(), "/registry/jobs/a/b", "value"); err != nil {
		t.Fatal(err)
	}
	server.Stop()

	server = start(t, directory)
	defer server.Stop()
	got, err := newClient(t, server).Get(t.Context(), "/registry/jobs/a/b")
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Kvs) != 1 || string(got.Kvs[0].Value) != "value" {
		t.Errorf("got %v after the restart, want value", got.Kvs)
	}
}

func TestServer_OwnerOnly(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "etcd")
	server := start(t, directory)
	defer server.Stop()
	for _, dir := range []string{directory, server.socketDir} {
		info, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode != 0o700 {
			t.Errorf("%s has mode %o, want 700", dir, mode)
		}
	}
	want := filepath.Join(server.socketDir, "client")
	if got := listeningSockets(t); !slices.Equal(got, []string{want}) {
		t.Errorf("the process listens on %q, want %s only", got, want)
	}
}

// listeningSockets returns the Unix sockets that this process listens on, from the kernel's
// socket table. They include abstract sockets, which have no file.
func listeningSockets(t *testing.T) []string {
	t.Helper()
	own := map[string]bool{}
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		target, _ := os.Readlink(fd)
		own[target] = true
	}
	table, err := os.ReadFile("/proc/self/net/unix")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(table)) {
		// Num RefCount Protocol Flags Type St Inode Path; 0x10000 accepts connections.
		columns := append(strings.Fields(line), "")
		if len(columns) > 7 && columns[3] == "00010000" && own["socket:["+columns[6]+"]"] {
			names = append(names, columns[7])
		}
	}
	return names
}

func TestStart_DirectoryInUse(t *testing.T) {
	directory := t.TempDir()
	first := start(t, directory)
	_, err := Start(t.Context(), Options{Directory: directory})
	want := "the etcd directory " + directory + " is in use by another process: stop it, or choose another directory"
	if err == nil || err.Error() != want {
		t.Errorf("got error\n%v\nwant\n%s", err, want)
	}
	if _, err := newClient(t, first).Put(t.Context(), "a", "b"); err != nil {
		t.Errorf("the first server failed: %v", err)
	}
	first.Stop()
	start(t, directory).Stop()
}

func TestServer_Stop_RemovesSockets(t *testing.T) {
	server := start(t, t.TempDir())
	server.Stop()
	if _, err := os.Stat(server.socketDir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket directory still exists: %v", err)
	}
}

func TestStart_ContextCanceled(t *testing.T) {
	directory := t.TempDir()
	reason := errors.New("canceled by the test")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(reason)
	server, err := Start(ctx, Options{Directory: directory})
	if err == nil {
		server.Stop() // etcd became ready before Start checked the context.
	} else if !errors.Is(err, reason) {
		t.Errorf("got error %v, want %v", err, reason)
	}
	start(t, directory).Stop()
}

func TestStart_InvalidDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	locked := t.TempDir()
	if err := os.Mkdir(filepath.Join(locked, "lock"), 0o700); err != nil {
		t.Fatal(err)
	}
	corrupt := t.TempDir()
	if err := os.WriteFile(filepath.Join(corrupt, "member-data"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ directory, want string }{
		"file":                   {file, "creating the etcd directory: mkdir " + file},
		"parent is file":         {filepath.Join(file, "x"), "creating the etcd directory: mkdir " + file},
		"lock is directory":      {locked, "locking the etcd directory: open " + locked},
		"data directory is file": {corrupt, "starting etcd on " + corrupt},
		"empty name":             {"", "creating the etcd directory"},
	} {
		t.Run(name, func(t *testing.T) {
			server, err := Start(t.Context(), Options{Directory: tc.directory})
			if err == nil {
				server.Stop()
				t.Fatal("got no error")
			}
			if !strings.HasPrefix(err.Error(), tc.want) {
				t.Errorf("got error\n%v\nwant it to start with\n%s", err, tc.want)
			}
		})
	}
}
