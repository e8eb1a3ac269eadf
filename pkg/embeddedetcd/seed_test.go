// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package embeddedetcd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// newSeed returns a seed that creates its data in the directory. start runs the member from there.
func newSeed(directory string) *Seed {
	return &Seed{
		DataDir:        filepath.Join(directory, "member-data"),
		Name:           "batchgate",
		PeerURLs:       []string{"http://127.0.0.1:1"},
		InitialCluster: "batchgate=http://127.0.0.1:1",
		Token:          "token",
		Revision:       1_000_000,
	}
}

// createDataDir calls CreateDataDir and checks whether it created data.
func createDataDir(t *testing.T, seed *Seed, want bool) {
	t.Helper()
	created, err := seed.CreateDataDir(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if created != want {
		t.Fatalf("created: got %t, want %t", created, want)
	}
}

func TestSeed_FirstRevision(t *testing.T) {
	directory := t.TempDir()
	seed := newSeed(directory)
	createDataDir(t, seed, true)
	for range 2 { // The revision must survive a restart.
		server := start(t, directory)
		etcd := newClient(t, server)
		response, err := etcd.Put(t.Context(), "key", "value")
		if err != nil {
			t.Fatal(err)
		}
		if response.Header.Revision <= seed.Revision {
			t.Errorf("got revision %d, want more than %d", response.Header.Revision, seed.Revision)
		}
		select {
		case watched := <-etcd.Watch(t.Context(), "key", clientv3.WithRev(5000)):
			if watched.CompactRevision < seed.Revision {
				t.Errorf("a watch from a lower revision got %+v, want a compaction error", watched)
			}
		case <-time.After(time.Minute):
			t.Error("a watch from a lower revision got no response")
		}
		server.Stop()
		createDataDir(t, seed, false)
	}
	server := start(t, directory)
	defer server.Stop()
	response, err := newClient(t, server).Get(t.Context(), "key")
	if err != nil || response.Count != 1 || response.Kvs[0].Version != 2 {
		t.Errorf("got data %v, %v, want version 2", response, err)
	}
}

func TestSeed_CreateDataDir_AfterInterruption(t *testing.T) {
	directory := t.TempDir()
	unfinished := filepath.Join(directory, workDirPrefix+"1", "data", "member")
	if err := os.MkdirAll(unfinished, 0o700); err != nil {
		t.Fatal(err)
	}
	seed := newSeed(directory)
	if err := os.Mkdir(seed.DataDir, 0o700); err != nil {
		t.Fatal(err)
	}
	createDataDir(t, seed, true)
	entries, err := os.ReadDir(directory)
	if err != nil || len(entries) != 1 {
		t.Errorf("the directory contains %v, %v, want the data directory only", entries, err)
	}
}

func TestSeed_CreateDataDir_Invalid(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Seed)
		want   string
	}{
		"no revision":                   {func(s *Seed) { s.Revision = 0 }, "must be at least 1"},
		"name not in initial cluster":   {func(s *Seed) { s.Name = "other" }, `"other"`},
		"different peer URL":            {func(s *Seed) { s.PeerURLs = []string{"http://127.0.0.1:2"} }, "127.0.0.1:2"},
		"invalid peer URL":              {func(s *Seed) { s.PeerURLs = []string{"127.0.0.1"} }, "127.0.0.1"},
		"parent that cannot be created": {func(s *Seed) { s.DataDir = "/proc/none/data" }, "parent of the data directory"},
	} {
		t.Run(name, func(t *testing.T) {
			directory := t.TempDir()
			seed := newSeed(directory)
			tc.change(seed)
			created, err := seed.CreateDataDir(t.Context())
			if created || err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got created %t and error %v, want an error with %s", created, err, tc.want)
			}
			if entries, err := os.ReadDir(directory); err != nil || len(entries) > 0 {
				t.Errorf("the directory contains %v, %v, want nothing", entries, err)
			}
		})
	}
}
