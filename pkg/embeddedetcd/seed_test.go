package embeddedetcd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// newSeed returns the seed of a member that Start finds in the directory.
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

// sow fills the data directory of the seed, or must not where it has data.
func sow(t *testing.T, seed *Seed, want bool) {
	t.Helper()
	sown, err := seed.Sow(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if sown != want {
		t.Fatalf("sown: %t, want %t", sown, want)
	}
}

func TestASeededMemberCountsFromItsRevisionAndOlderOnesAreCompacted(t *testing.T) {
	directory := t.TempDir()
	seed := newSeed(directory)
	sow(t, seed, true)
	for range 2 { // it must last
		server := start(t, directory)
		etcd := client(t, server)
		response, err := etcd.Put(t.Context(), "key", "value")
		if err != nil {
			t.Fatal(err)
		}
		if response.Header.Revision <= seed.Revision {
			t.Errorf("the revision is %d", response.Header.Revision)
		}
		select {
		case watched := <-etcd.Watch(t.Context(), "key", clientv3.WithRev(5000)):
			if watched.CompactRevision < seed.Revision {
				t.Errorf("a watch from an old revision is answered with %+v", watched)
			}
		case <-time.After(time.Minute):
			t.Error("a watch from an old revision is told nothing")
		}
		server.Stop()
		sow(t, seed, false)
	}
	server := start(t, directory)
	defer server.Stop()
	response, err := client(t, server).Get(t.Context(), "key")
	if err != nil || response.Count != 1 || response.Kvs[0].Version != 2 {
		t.Errorf("the data is %v, %v", response, err)
	}
}

func TestSowRemovesWhatAnInterruptedCallHasLeft(t *testing.T) {
	directory := t.TempDir()
	left := filepath.Join(directory, seedPrefix+"1", "data", "member")
	if err := os.MkdirAll(left, 0o700); err != nil {
		t.Fatal(err)
	}
	seed := newSeed(directory)
	if err := os.Mkdir(seed.DataDir, 0o700); err != nil {
		t.Fatal(err)
	}
	sow(t, seed, true)
	entries, err := os.ReadDir(directory)
	if err != nil || len(entries) != 1 {
		t.Errorf("the directory holds %v, %v", entries, err)
	}
}

func TestSowRefusesWhatCannotBecomeAMember(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Seed)
		want   string
	}{
		"no revision":         {func(s *Seed) { s.Revision = 0 }, "must be at least 1"},
		"not in the cluster":  {func(s *Seed) { s.Name = "other" }, `"other"`},
		"another URL":         {func(s *Seed) { s.PeerURLs = []string{"http://127.0.0.1:2"} }, "127.0.0.1:2"},
		"no URL":              {func(s *Seed) { s.PeerURLs = []string{"127.0.0.1"} }, "127.0.0.1"},
		"a parent not to own": {func(s *Seed) { s.DataDir = "/proc/none/data" }, "parent of the data directory"},
	} {
		t.Run(name, func(t *testing.T) {
			directory := t.TempDir()
			seed := newSeed(directory)
			tc.change(seed)
			sown, err := seed.Sow(t.Context())
			if sown || err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("sown: %t, %v, want %s", sown, err, tc.want)
			}
			if entries, err := os.ReadDir(directory); err != nil || len(entries) > 0 {
				t.Errorf("it leaves %v, %v", entries, err)
			}
		})
	}
}
