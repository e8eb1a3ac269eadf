package session

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/batchgate/batchgate/test/framework"
)

// Main runs the tests of a suite against one control plane with Batchgate installed, and exits. It
// calls setup before it installs Batchgate, so that the suite can keep the cluster and the binaries.
//
// The suite fails if kube-apiserver denied Batchgate a request, because then artifacts/base/rbac.yaml
// lacks a permission.
func Main(m *testing.M, setup func(context.Context, *framework.Cluster, framework.Binaries) error) {
	var cluster *framework.Cluster
	var binaries framework.Binaries
	framework.Main(m, framework.MainOptions{
		Parallel: 8,
		Binaries: &binaries,
		Cluster:  &cluster,
		Setup: func(ctx context.Context, _ string) error {
			if err := setup(ctx, cluster, binaries); err != nil {
				return err
			}
			if err := cluster.Install(ctx); err != nil {
				return err
			}
			return checkPermissions(cluster)
		},
		Finish: func() error { return checkPermissions(cluster) },
	})
}

// undisruptedSince is the offset in Batchgate's log at which the last disruption ended.
var undisruptedSince int

// Disrupt is like New, for a test that stops kube-apiserver or Batchgate. After the test it starts
// whatever is stopped. Such tests must not run in parallel.
func Disrupt(t *testing.T, cluster *framework.Cluster) Session {
	t.Helper()
	s := New(t, cluster)
	t.Cleanup(func() {
		if !cluster.APIServer.Running() {
			if err := cluster.StartAPIServer(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		if !cluster.Batchgate.Running() {
			if err := cluster.StartBatchgate(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		// The aggregator may take half a minute to notice.
		if err := cluster.WaitForPolicyAPI(context.Background()); err != nil {
			t.Fatal(err)
		}
		log, err := os.ReadFile(cluster.Batchgate.LogFile())
		if err != nil {
			t.Fatal(err)
		}
		undisruptedSince = len(log)
	})
	return s
}

// checkPermissions fails if Batchgate logged that kube-apiserver denied it a request. It ignores
// what was logged during a disruption: right after its start, kube-apiserver has no RBAC rules yet
// and denies everything.
func checkPermissions(cluster *framework.Cluster) error {
	content, err := os.ReadFile(cluster.Batchgate.LogFile())
	if err != nil {
		return err
	}
	denied := `User "system:serviceaccount:` + framework.Namespace + ":" + framework.Name + `" cannot`
	for line := range strings.Lines(string(content[undisruptedSince:])) {
		if strings.Contains(strings.ReplaceAll(line, `\"`, `"`), denied) {
			return fmt.Errorf("artifacts/base/rbac.yaml lacks a permission: %s", line)
		}
	}
	return nil
}
