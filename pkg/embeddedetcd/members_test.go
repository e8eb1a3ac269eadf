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
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/batchgate/batchgate/pkg/pki"
)

// newMembers returns the connections of a member with a certificate of a new CA, without a listener.
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
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if err := ca.SignFiles(path("tls.crt"), path("tls.key"), template); err != nil {
		t.Fatal(err)
	}
	return Members{TrustedCAFile: path("ca.crt"), CertFile: path("tls.crt"), KeyFile: path("tls.key"), timeout: time.Second}
}

// freeURL returns a URL at which nothing listens.
func freeURL(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return "https://" + listener.Addr().String()
}

// runMember runs a server with the member's certificate and returns its URL.
func runMember(t *testing.T, members Members, handler http.HandlerFunc) string {
	t.Helper()
	url := freeURL(t)
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
	url := freeURL(t)
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
	urls := map[string]string{"a": freeURL(t), "b": freeURL(t), "c": freeURL(t)}
	cluster := fmt.Sprintf("a=%s,b=%s,c=%s", urls["a"], urls["b"], urls["c"])
	var running sync.WaitGroup
	for name, url := range urls {
		seed := newSeed(t.TempDir())
		seed.Name, seed.PeerURLs, seed.InitialCluster, seed.Members = name, []string{url}, cluster, members
		seed.Members.ListenURLs = []string{url}
		running.Go(func() {
			created, err := seed.CreateDataDir(t.Context())
			if err != nil || !created {
				t.Errorf("%s: created %t, %v", name, created, err)
				return
			}
			// The others may still have to ask this member, which now runs etcd.
			err = runMemberAt(t, url, members, func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprintf(w, `[{"id":1,"name":"a","peerURLs":[%q]},{"id":2,"name":"b","peerURLs":[%q]},{"id":3,"name":"c","peerURLs":[%q]}]`, urls["a"], urls["b"], urls["c"])
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	running.Wait()
}

// A member that does not say that it has no data may have some. Its cluster must not be created again.
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
		"does not listen": {freeURL, "connection refused"},
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
		created    bool
	}{
		"ran before":                   {list: `[{"id":10,"peerURLs":["SELF"],"name":"new","clientURLs":["https://new:2379"]}]`, want: "etcdctl member remove a, then etcdctl member add new --peer-urls=SELF"},
		"not a member":                 {list: `[{"id":11,"peerURLs":["https://other:2380"],"name":"other"}]`, want: "etcdctl member add new --peer-urls=SELF"},
		"added":                        {list: `[{"id":10,"peerURLs":["SELF"]}]`},
		"part of the same new cluster": {list: `[{"id":10,"peerURLs":["SELF"],"name":"new"}]`, created: true},
	} {
		t.Run(name, func(t *testing.T) {
			var self string
			url := runMember(t, members, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != membersPath {
					t.Errorf("unexpected request: %s", r.URL)
				}
				fmt.Fprint(w, strings.ReplaceAll(tc.list, "SELF", self))
			})
			// The third member decides nothing, unless this one would be new.
			third := runMember(t, members, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(statusNew) })
			seed := newClusterSeed(t, members, map[string]string{"other": url, "third": third})
			self = seed.PeerURLs[0]
			created, err := seed.CreateDataDir(t.Context())
			if created != tc.created {
				t.Errorf("created: %t, want %t", created, tc.created)
			}
			want := strings.ReplaceAll(tc.want, "SELF", self)
			if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("error %v, want one that contains %q", err, want)
			}
			if !tc.created {
				checkNoData(t, seed)
			}
		})
	}
}

func TestSeed_OtherMembersWithoutListener(t *testing.T) {
	seed := newClusterSeed(t, newMembers(t), map[string]string{"other": freeURL(t)})
	seed.Members.ListenURLs = nil
	created, err := seed.CreateDataDir(t.Context())
	if created || err == nil || !strings.Contains(err.Error(), "--listen-peer-urls is required") {
		t.Errorf("created: %t, unexpected error: %v", created, err)
	}
	checkNoData(t, seed)
}
