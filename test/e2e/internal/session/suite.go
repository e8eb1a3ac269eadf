// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package session

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/batchgate/batchgate/test/framework"
)

// Main is like framework.Main, for suites that share one cluster with Batchgate installed. It installs
// Batchgate after o.Setup. o.Cluster must be set; Main sets o.Parallel and o.Finish.
//
// The suite fails if kube-apiserver denied Batchgate a request, because then artifacts/base/rbac.yaml
// lacks a permission.
func Main(m *testing.M, o framework.MainOptions) {
	setup := o.Setup
	o.Parallel = 8
	o.Setup = func(ctx context.Context, directory string) error {
		if setup != nil {
			if err := setup(ctx, directory); err != nil {
				return err
			}
		}
		if err := (*o.Cluster).Install(ctx); err != nil {
			return err
		}
		return CheckPermissions(*o.Cluster)
	}
	o.Finish = func() error { return CheckPermissions(*o.Cluster) }
	framework.Main(m, o)
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

// CheckPermissions fails if Batchgate logged that kube-apiserver denied it a request. It ignores
// what was logged during a disruption: right after its start, kube-apiserver has no RBAC rules yet
// and denies everything.
func CheckPermissions(cluster *framework.Cluster) error {
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
