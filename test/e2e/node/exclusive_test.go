// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"strings"
	"testing"

	"github.com/batchgate/batchgate/test/framework"
	"github.com/batchgate/batchgate/test/node"
)

const withoutBatch = "--runtime-config=batch/v1=false"

// TestExclusive takes over exclusively: the plugin waits while both kube-apiservers restart with the flag
// that disables their own batch/v1. The way back is the reverse.
func TestExclusive(t *testing.T) {
	a := newAdmin(t, node.Options{APIServers: 2, APIServerArgs: []string{"--shutdown-send-retry-after=true"}})
	a.installBase()
	done := make(chan error, 1)
	go func() {
		_, err := a.try("kubectl batchgate takeover --exclusive --restart-timeout=10m >takeover.log 2>&1 || { cat takeover.log; exit 1; }")
		done <- err
	}()
	a.waitFor(done, "be told to restart kube-apiservers", "grep 'restart every kube-apiserver with' takeover.log")
	a.restartAPIServers(withoutBatch)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	output := a.sh("cat takeover.log")
	for _, want := range []string{"no kube-apiserver can serve Jobs without the gate", "10.99.0.1:6443", "10.99.0.2:6443"} {
		if !strings.Contains(output, want) {
			t.Errorf("takeover --exclusive did not print %q:\n%s", want, output)
		}
	}
	a.checkGate()
	framework.Eventually(t, waitTimeout, "explain Jobs, once kube-apiserver has read Batchgate's documents", func() error {
		_, err := a.try("for ip in 10.99.0.1 10.99.0.2; do kubectl --server=https://$ip:6443 explain job.spec.parallelism; done")
		return err
	})

	a.denied("kubectl batchgate rollback", withoutBatch)
	a.checkGate()
	a.restartAPIServers()
	a.checkGate()
	a.sh("kubectl batchgate rollback")
	a.checkNative()
	report(t, "two kube-apiservers, `takeover --exclusive`", "it waits until both have restarted with the flag. A rollback fails until both have restarted without it, and then succeeds")
}

// restartAPIServers restarts the kube-apiservers, one after the other, with these arguments.
func (a admin) restartAPIServers(args ...string) {
	a.t.Helper()
	first := a.cluster.Nodes[0]
	for _, name := range []string{"kube-apiserver", "kube-apiserver-2"} {
		if err := first.StopService(name); err != nil {
			a.t.Fatal(err)
		}
		if err := first.StartService(name, args...); err != nil {
			a.t.Fatal(err)
		}
		framework.Eventually(a.t, waitTimeout, "see both kube-apiservers ready", func() error {
			_, err := a.try("for ip in 10.99.0.1 10.99.0.2; do kubectl --server=https://$ip:6443 get --raw=/readyz; done")
			return err
		})
	}
}
