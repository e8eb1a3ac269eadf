// Package disruption tests what happens to Jobs when parts of a cluster fail, restart or change.
// Each test has its own control plane, disrupts it under load, and then reads etcd directly to
// check that no write was lost.
package disruption

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/batchgate/batchgate/test/framework"
)

// parallelTests is the number of control planes that run at the same time. They mostly wait, and
// each needs about 1 GiB of memory.
const parallelTests = 3

var binaries framework.Binaries

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if err := framework.Parallel(parallelTests); err != nil {
		return 1, err
	}
	dir, err := os.MkdirTemp("", "batchgate-disruption-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	if binaries, err = framework.Build(context.Background(), dir); err != nil {
		return 1, err
	}
	return m.Run(), nil
}
