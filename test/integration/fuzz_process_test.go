// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/batchgate/batchgate/pkg/apiserver/options"
)

// fuzzEtcd is the environment variable that passes the etcd endpoint to the workers of
// go test -fuzz. Each worker starts its own server, with its own key prefix, on the etcd of the
// parent process. So etcd does not count as covered code of the worker, and the parent stops it.
const fuzzEtcd = "BATCHGATE_FUZZ_ETCD"

func isFuzzWorker() bool { return os.Getenv(fuzzEtcd) != "" }

// prepareFuzzing sets the environment of the workers. They keep their files in the directory of
// this process, which removes them, because a worker is killed if it does not exit in a second.
func prepareFuzzing() error {
	if fuzz := flag.Lookup("test.fuzz"); fuzz == nil || fuzz.Value.String() == "" {
		return nil
	}
	return errors.Join(os.Setenv("TMPDIR", scratch), os.Setenv(fuzzEtcd, shared.etcdEndpoint))
}

// currentVictim is the victim of this process, or nil before newVictim created it.
var currentVictim *victim

// newVictim returns the victim of this process and creates it if necessary. Tests that use it
// must not run in parallel.
func newVictim(t testing.TB) *victim {
	t.Helper()
	if currentVictim != nil {
		return currentVictim
	}
	prefix := fmt.Sprintf("/fuzz-%d", os.Getpid())
	endpoint := os.Getenv(fuzzEtcd)
	if endpoint == "" {
		endpoint = shared.etcdEndpoint
	}
	s, err := startServer(filepath.Join(scratch, "victim"), setup{etcd: endpoint, options: func(o *options.Options) {
		o.Etcd.StorageConfig.Prefix = prefix
		// With the default of five minutes, fuzzing writes more than etcd's quota.
		o.Etcd.StorageConfig.CompactionInterval = 30 * time.Second
	}})
	if err != nil {
		t.Fatalf("starting server: %v", err)
	}
	currentVictim = &victim{server: s, prefix: prefix + "/"}
	currentVictim.prepare(t)
	return currentVictim
}

func stopVictim() error {
	if currentVictim == nil {
		return nil
	}
	return currentVictim.server.stop()
}
