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

func client(t *testing.T, server *Server) *clientv3.Client {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{server.Endpoint()}, DialTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestDataSurvivesARestart(t *testing.T) {
	// Longer than the path of a socket may be.
	directory := filepath.Join(t.TempDir(), strings.Repeat("long/", 30))
	server := start(t, directory)
	if _, err := client(t, server).Put(t.Context(), "/registry/jobs/a/b", "value"); err != nil {
		t.Fatal(err)
	}
	server.Stop()

	server = start(t, directory)
	defer server.Stop()
	got, err := client(t, server).Get(t.Context(), "/registry/jobs/a/b")
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Kvs) != 1 || string(got.Kvs[0].Value) != "value" {
		t.Errorf("after the restart there is %v", got.Kvs)
	}
}

func TestOnlyTheOwnerReachesIt(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "etcd")
	server := start(t, directory)
	defer server.Stop()
	for _, dir := range []string{directory, server.sockets} {
		info, err := os.Stat(dir)
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode != 0o700 {
			t.Errorf("%s has the mode %o", dir, mode)
		}
	}
	want := filepath.Join(server.sockets, "client")
	if got := listening(t); !slices.Equal(got, []string{want}) {
		t.Errorf("this process listens on %q, want %s only", got, want)
	}
}

// listening returns the Unix sockets that this process listens on, those included that have
// no file, by what the kernel says.
func listening(t *testing.T) []string {
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

func TestSecondStartOnADirectoryInUseIsRefused(t *testing.T) {
	directory := t.TempDir()
	first := start(t, directory)
	_, err := Start(t.Context(), Options{Directory: directory})
	want := "the etcd directory " + directory + " is in use by another process: stop it, or choose another directory"
	if err == nil || err.Error() != want {
		t.Errorf("the error is\n%v\nwant\n%s", err, want)
	}
	if _, err := client(t, first).Put(t.Context(), "a", "b"); err != nil {
		t.Errorf("the first is disturbed: %v", err)
	}
	first.Stop()
	start(t, directory).Stop()
}

func TestStopLeavesNoSockets(t *testing.T) {
	server := start(t, t.TempDir())
	server.Stop()
	if _, err := os.Stat(server.sockets); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the sockets are still there: %v", err)
	}
}

func TestStartEndsWithItsContextAndFreesTheDirectory(t *testing.T) {
	directory := t.TempDir()
	reason := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(reason)
	server, err := Start(ctx, Options{Directory: directory})
	if err == nil {
		server.Stop() // etcd was ready before the context was looked at
	} else if !errors.Is(err, reason) {
		t.Errorf("the error is %v, want %v", err, reason)
	}
	start(t, directory).Stop()
}

func TestStartNamesTheDirectoryItCannotUse(t *testing.T) {
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
		"a file":                     {file, "making the etcd directory: mkdir " + file},
		"below a file":               {filepath.Join(file, "x"), "making the etcd directory: mkdir " + file},
		"with no place for the lock": {locked, "locking the etcd directory: open " + locked},
		"with no place for the data": {corrupt, "starting etcd on " + corrupt},
		"which has no name":          {"", "making the etcd directory"},
	} {
		t.Run(name, func(t *testing.T) {
			server, err := Start(t.Context(), Options{Directory: tc.directory})
			if err == nil {
				server.Stop()
				t.Fatal("it starts")
			}
			if !strings.HasPrefix(err.Error(), tc.want) {
				t.Errorf("the error is\n%v\nwant it to begin\n%s", err, tc.want)
			}
		})
	}
}
