// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package embeddedetcd

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"github.com/batchgate/batchgate/pkg/pki"
)

// newMembers returns options with a certificate that a new CA has signed, and without ListenURLs.
func newMembers(t *testing.T) Members {
	t.Helper()
	directory := t.TempDir()
	path := func(name string) string { return filepath.Join(directory, name) }
	ca, err := pki.LoadOrCreate(path("ca.crt"), path("ca.key"), "etcd-ca")
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{
		Subject:     pkix.Name{CommonName: "etcd"},
		IPAddresses: slices.Concat(addresses, []net.IP{net.IPv4(127, 0, 0, 1)}), // etcd also checks the address of the client
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if err := ca.SignFiles(path("tls.crt"), path("tls.key"), template); err != nil {
		t.Fatal(err)
	}
	return Members{TrustedCAFile: path("ca.crt"), CertFile: path("tls.crt"), KeyFile: path("tls.key"), timeout: time.Second}
}

// addresses are loopback addresses that no other process uses, not even for outgoing connections, whose
// source ports could conflict.
var addresses = func() (list []net.IP) {
	a, b := byte(64+rand.IntN(191)), byte(rand.IntN(256))
	for i := byte(1); i < 100; i++ {
		list = append(list, net.IPv4(127, a, b, i))
	}
	return list
}()

var lastAddress atomic.Int32

// freeURL returns a URL at which nothing listens.
func freeURL() string {
	return fmt.Sprintf("https://%s:2380", addresses[int(lastAddress.Add(1))%len(addresses)])
}

// runMember runs a server with the member's certificate and returns its URL.
func runMember(t *testing.T, members Members, handler http.HandlerFunc) string {
	t.Helper()
	url := freeURL()
	if err := runMemberAt(t, url, members, handler); err != nil {
		t.Fatal(err)
	}
	return url
}

func runMemberAt(t *testing.T, url string, members Members, handler http.HandlerFunc) error {
	listener, err := members.listen(url)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0)}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Close() })
	return nil
}

// newClusterSeed returns the seed of the member "new" of a cluster with the other members.
func newClusterSeed(t *testing.T, members Members, others map[string]string) *Seed {
	t.Helper()
	seed := newSeed(t.TempDir())
	url := freeURL()
	seed.Name, seed.PeerURLs, seed.Members = "new", []string{url}, members
	seed.Members.ListenURLs = []string{url}
	seed.InitialCluster = "new=" + url
	for name, other := range others {
		seed.InitialCluster += "," + name + "=" + other
	}
	return seed
}

func checkNoData(t *testing.T, seed *Seed) {
	t.Helper()
	if _, err := os.Stat(seed.DataDir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the data directory exists: %v", err)
	}
}

func TestSeed_AllMembersNew(t *testing.T) {
	members := newMembers(t)
	urls := map[string]string{"a": freeURL(), "b": freeURL(), "c": freeURL()}
	cluster := fmt.Sprintf("a=%s,b=%s,c=%s", urls["a"], urls["b"], urls["c"])
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var running sync.WaitGroup
	for name, url := range urls {
		seed := newSeed(t.TempDir())
		seed.Name, seed.PeerURLs, seed.InitialCluster, seed.Members = name, []string{url}, cluster, members
		seed.Members.ListenURLs = []string{url}
		running.Go(func() {
			created, err := seed.CreateDataDir(ctx)
			if err != nil || !created {
				t.Errorf("%s: created %t, %v", name, created, err)
				return
			}
			// The others may still have to ask this member.
			if err := startMember(t, seed); err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
}

// startMember runs etcd with the data of a seed. Without the other members it serves its peer URL only.
func startMember(t *testing.T, seed *Seed) error {
	t.Helper()
	cfg := embed.NewConfig()
	cfg.Name, cfg.Dir, cfg.InitialCluster, cfg.InitialClusterToken = seed.Name, seed.DataDir, seed.InitialCluster, seed.Token
	urls, err := types.NewURLs(seed.PeerURLs)
	if err != nil {
		return err
	}
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = urls, urls
	client := url.URL{Scheme: "unix", Path: filepath.Join(t.TempDir(), "client")}
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = []url.URL{client}, []url.URL{client}
	cfg.PeerTLSInfo = seed.Members.tlsInfo()
	cfg.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	etcd, err := embed.StartEtcd(cfg)
	if err != nil {
		return err
	}
	t.Cleanup(func() {
		etcd.Server.Stop() // otherwise Close waits for a quorum
		etcd.Close()
	})
	return nil
}

// One member runs without a quorum, and the two others have new volumes. If those two started, they
// would be a quorum without data and with the same cluster ID, and the data of the first would be lost.
// So they must start only if the first has no data either.
func TestSeed_BesideMemberWithData(t *testing.T) {
	snapshotFile := filepath.Join(t.TempDir(), "snapshot")
	server := start(t, t.TempDir())
	defer server.Stop()
	if _, err := newClient(t, server).Put(t.Context(), "job", "acknowledged"); err != nil {
		t.Fatal(err)
	}
	if err := server.saveSnapshot(t.Context(), snapshotFile); err != nil {
		t.Fatal(err)
	}
	fromSnapshot := func(bump int64) func(t *testing.T, seed *Seed) error {
		return func(t *testing.T, seed *Seed) error {
			restored := *seed
			restored.Revision += bump
			return restored.restore(snapshotFile, seed.DataDir)
		}
	}
	// At the revision of the seed, a snapshot of a seeded etcd has the same data as the seed.
	fromSnapshotOfSeed := func(t *testing.T, seed *Seed) error {
		directory := t.TempDir()
		createDataDir(t, newSeed(directory), true)
		server := start(t, directory)
		defer server.Stop()
		if _, err := newClient(t, server).Put(t.Context(), "job", "acknowledged"); err != nil {
			return err
		}
		file := filepath.Join(directory, "snapshot")
		if err := server.saveSnapshot(t.Context(), file); err != nil {
			return err
		}
		return seed.restoreAt(file, seed.DataDir, 0)
	}
	fromSeed := func(bump int64) func(t *testing.T, seed *Seed) error {
		return func(t *testing.T, seed *Seed) error {
			seeded := *seed
			seeded.Revision += bump
			data, err := seeded.restoreEmptySnapshot(t.Context(), t.TempDir())
			if err != nil {
				return err
			}
			return os.Rename(data, seed.DataDir)
		}
	}
	for name, tc := range map[string]struct {
		prepare func(t *testing.T, seed *Seed) error
		created bool
	}{
		"equal seed":                       {fromSeed(0), true},
		"seed with a higher revision":      {fromSeed(1000), false},
		"snapshot of an equal seed":        {fromSnapshotOfSeed, false},
		"snapshot, revision of the seed":   {fromSnapshot(0), false},
		"snapshot, one revision less":      {fromSnapshot(-1), false},
		"snapshot, same last revision":     {fromSnapshot(-2), false},
		"snapshot, lower than the seed's":  {fromSnapshot(-1000), false},
		"snapshot, higher than the seed's": {fromSnapshot(1000), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			members := newMembers(t)
			third := runMember(t, members, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(statusNew) })
			url := freeURL()
			seed := newClusterSeed(t, members, map[string]string{"other": url, "third": third})
			other := *seed
			other.DataDir, other.Name, other.PeerURLs = filepath.Join(t.TempDir(), "data"), "other", []string{url}
			if err := tc.prepare(t, &other); err != nil {
				t.Fatal(err)
			}
			if err := startMember(t, &other); err != nil {
				t.Fatal(err)
			}
			created, err := seed.CreateDataDir(t.Context())
			if created != tc.created || (err == nil) != tc.created {
				t.Errorf("created %t, %v, want %t", created, err, tc.created)
			}
			if !tc.created {
				checkNoData(t, seed)
				if !errors.Is(err, errOtherData) || !strings.Contains(err.Error(), "restore new from the same one") {
					t.Errorf("the error is %v", err)
				}
			}
		})
	}
}

// Until a member says that it has no data, it may have some, and its cluster must not be created again.
func TestSeed_WaitsForMember(t *testing.T) {
	members := newMembers(t)
	for name, tc := range map[string]struct {
		url  func(t *testing.T) string
		want string
	}{
		"accepts connections and does not respond": {func(t *testing.T) string {
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { listener.Close() })
			return "https://" + listener.Addr().String()
		}, "Timeout exceeded"},
		"does not listen": {func(*testing.T) string { return freeURL() }, "connection refused"},
		"name unknown":    {func(*testing.T) string { return "https://etcd.invalid:2380" }, "etcd.invalid"},
		"certificate of another CA": {func(t *testing.T) string {
			return runMember(t, newMembers(t), http.NotFound)
		}, "certificate signed by unknown authority"},
		"fails": {func(t *testing.T) string {
			return runMember(t, members, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
		}, "503"},
		"empty list": {func(t *testing.T) string {
			return runMember(t, members, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "[]") })
		}, "the list is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			// This member is asked after the other one. At its third request, the seed has asked both
			// of them twice.
			var requests atomic.Int32
			witness := runMember(t, members, func(w http.ResponseWriter, _ *http.Request) {
				if requests.Add(1) == 3 {
					cancel()
				}
				w.WriteHeader(statusNew)
			})
			seed := newClusterSeed(t, members, map[string]string{"other": tc.url(t), "witness": witness})
			created, err := seed.CreateDataDir(ctx)
			if created || !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("created: %t, error %v, want one that contains %q", created, err, tc.want)
			}
			checkNoData(t, seed)
		})
	}
}

func TestSeed_MemberRuns(t *testing.T) {
	members := newMembers(t)
	for name, tc := range map[string]struct {
		// list is the response of the other member. SELF is the peer URL of the new member.
		list, want string
	}{
		"ran before":   {list: `[{"id":10,"peerURLs":["SELF"],"name":"new","clientURLs":["https://new:2379"]}]`, want: "etcdctl member remove a, then etcdctl member add new --peer-urls=SELF"},
		"not a member": {list: `[{"id":11,"peerURLs":["https://other:2380"],"name":"other"}]`, want: "etcdctl member add new --peer-urls=SELF"},
		"added":        {list: `[{"id":10,"peerURLs":["SELF"]}]`},
	} {
		t.Run(name, func(t *testing.T) {
			var self string
			url := runMember(t, members, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != membersPath {
					t.Errorf("unexpected request: %s", r.URL)
				}
				fmt.Fprint(w, strings.ReplaceAll(tc.list, "SELF", self))
			})
			// The third member has no data, so the result depends only on the other member.
			third := runMember(t, members, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(statusNew) })
			seed := newClusterSeed(t, members, map[string]string{"other": url, "third": third})
			self = seed.PeerURLs[0]
			created, err := seed.CreateDataDir(t.Context())
			if created {
				t.Error("it has created data")
			}
			want := strings.ReplaceAll(tc.want, "SELF", self)
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want one that contains %q", err, want)
			}
			checkNoData(t, seed)
		})
	}
}

func TestSeed_OtherMembersWithoutListener(t *testing.T) {
	seed := newClusterSeed(t, newMembers(t), map[string]string{"other": freeURL()})
	seed.Members.ListenURLs = nil
	created, err := seed.CreateDataDir(t.Context())
	if created || err == nil || !strings.Contains(err.Error(), "--listen-peer-urls is required") {
		t.Errorf("created: %t, unexpected error: %v", created, err)
	}
	checkNoData(t, seed)
}
