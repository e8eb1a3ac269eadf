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

// fuzzEtcd names the variable by which the process that go test -fuzz runs tells its workers
// of its etcd. Each worker has a server of its own, with a prefix of its own: etcd does not
// disturb what is measured of the worker, and is cleaned up by who started it.
const fuzzEtcd = "BATCHGATE_FUZZ_ETCD"

func isFuzzWorker() bool { return os.Getenv(fuzzEtcd) != "" }

// prepareFuzzing makes workers keep all their files in the directory of this process, which
// removes them: a worker that does not end within a second is killed.
func prepareFuzzing() error {
	if fuzz := flag.Lookup("test.fuzz"); fuzz == nil || fuzz.Value.String() == "" {
		return nil
	}
	return errors.Join(os.Setenv("TMPDIR", scratch), os.Setenv(fuzzEtcd, shared.etcdEndpoint))
}

// currentVictim is the victim of this process, once there is one.
var currentVictim *victim

// newVictim returns the victim of this process, which its tests attack in turn.
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
		// In the usual five minutes, fuzzing writes more than etcd keeps.
		o.Etcd.StorageConfig.CompactionInterval = 30 * time.Second
	}})
	if err != nil {
		t.Fatalf("starting the server to attack: %v", err)
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
