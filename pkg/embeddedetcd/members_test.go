// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package embeddedetcd

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/batchgate/batchgate/pkg/pki"
)

// A member with a certificate of another CA runs. Its cluster must not be created again.
func TestSeed_MemberWithOtherCertificate(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	seed := newSeed(t.TempDir())
	ca := filepath.Join(t.TempDir(), "ca.crt")
	if _, err := pki.LoadOrCreate(ca, filepath.Join(t.TempDir(), "ca.key"), "other"); err != nil {
		t.Fatal(err)
	}
	seed.Members = Members{Endpoints: []string{server.URL}, TrustedCAFile: ca, timeout: time.Second}
	created, err := seed.CreateDataDir(t.Context())
	if created || err == nil || !strings.Contains(err.Error(), "certificate signed by unknown authority") {
		t.Errorf("created: %t, unexpected error: %v", created, err)
	}
	if _, err := os.Stat(seed.DataDir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the data directory exists: %v", err)
	}
}

func TestSeed_NoMemberRuns(t *testing.T) {
	seed := newSeed(t.TempDir())
	seed.Members = Members{Endpoints: []string{"http://127.0.0.1:1"}, timeout: time.Second}
	createDataDir(t, seed, true)
}

// A member of a new cluster accepts connections, and answers once enough members run.
func TestSeed_MemberWaits(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	seed := newSeed(t.TempDir())
	ca := filepath.Join(t.TempDir(), "ca.crt")
	if _, err := pki.LoadOrCreate(ca, filepath.Join(t.TempDir(), "ca.key"), "ca"); err != nil {
		t.Fatal(err)
	}
	seed.Members = Members{Endpoints: []string{"https://" + listener.Addr().String()}, TrustedCAFile: ca, timeout: time.Second}
	createDataDir(t, seed, true)
}

func TestStopped(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		want bool
	}{
		"connection refused": {syscall.ECONNREFUSED, true},
		"name unknown":       {&net.DNSError{IsNotFound: true}, true},
		"DNS server down":    {&net.DNSError{IsTimeout: true}, false},
		"DNS server fails":   {&net.DNSError{IsTemporary: true}, false},
		"no answer":          {os.ErrDeadlineExceeded, false},
		"no route":           {syscall.EHOSTUNREACH, false},
	} {
		if got := stopped(fmt.Errorf("dialing: %w", &net.OpError{Op: "dial", Err: tc.err})); got != tc.want {
			t.Errorf("%s: got %t, want %t", name, got, tc.want)
		}
	}
}
