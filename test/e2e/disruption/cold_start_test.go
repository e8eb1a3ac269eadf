// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"context"
	"errors"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"

	"github.com/batchgate/batchgate/test/framework"
)

const (
	// startGap is the time between the starts of two components.
	startGap = time.Second
	// restartDelay is the delay before a restart. A kubelet waits at least as long.
	restartDelay = time.Second
)

// startOrders are orders of etcd (e), kube-apiserver (a), Batchgate (b) and kube-controller-manager
// (c). For each component and each one that it needs, at least one order starts the component
// first. With BATCHGATE_ALL_ORDERS=1 the test uses all 24 orders.
var startOrders = []string{"eabc", "ebac", "aebc", "bcae", "cabe"}

func TestControlPlaneStartsInAnyOrder(t *testing.T) {
	t.Parallel()
	s := startTakenOver(t, framework.ClusterOptions{})
	components := map[rune]*framework.Process{'e': s.Etcd, 'a': s.APIServer, 'b': s.Batchgate, 'c': s.ControllerManager}
	orders := startOrders
	if os.Getenv("BATCHGATE_ALL_ORDERS") != "" {
		orders = permutations("eabc")
	}
	for _, order := range orders {
		t.Run(order, func(t *testing.T) {
			s := s.inNamespace(t, "cold-"+order)
			s.createHeld("pi", 1, 2)
			etcd := s.clusterEtcd()
			before, err := s.storedJobs(etcd)
			if err != nil {
				t.Fatal(err)
			}
			// Stop the scheduler and the fake kubelet. They would retry only after minutes, and
			// this test does not measure that.
			if err := errors.Join(s.Kwok.Stop(), s.Scheduler.Stop()); err != nil {
				t.Fatal(err)
			}
			for _, letter := range "cbae" {
				if err := components[letter].Stop(); err != nil {
					t.Fatal(err)
				}
			}
			began := time.Now()
			for _, letter := range order {
				keepRunning(t, components[letter])
				time.Sleep(startGap)
			}
			s.eventually("have a ready kube-apiserver", func() error { return s.APIServerReady(t.Context()) })
			s.eventually("have a ready Batchgate", func() error { return s.BatchgateReady(t.Context()) })
			s.eventually("be gated", func() error { return s.checkGated("pi") })
			if err := s.kubectl("wait", "apiservice", "v1.batch", "--for=condition=Available", "--timeout=110s"); err != nil {
				t.Error(err)
			}
			t.Logf("gated %s after the first start", time.Since(began).Round(100*time.Millisecond))
			after, err := s.storedJobs(etcd)
			if err != nil {
				t.Fatal(err)
			}
			// The Job controller may have updated the status.
			for _, jobs := range []map[string]*batchv1.Job{before, after} {
				for _, job := range jobs {
					job.Status, job.ResourceVersion, job.ManagedFields = batchv1.JobStatus{}, "", nil
				}
			}
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("the stored Jobs differ (-before +after):\n%s", diff)
			}
			if err := errors.Join(s.Scheduler.Start(), s.Kwok.Start()); err != nil {
				t.Fatal(err)
			}
			s.release("pi")
		})
	}
}

// permutations returns all orders of the letters.
func permutations(letters string) []string {
	if len(letters) < 2 {
		return []string{letters}
	}
	var all []string
	for i, first := range letters {
		for _, rest := range permutations(letters[:i] + letters[i+1:]) {
			all = append(all, string(first)+rest)
		}
	}
	return all
}

// keepRunning starts a component, and restarts it whenever it exits, until the test ends.
func keepRunning(t *testing.T, p *framework.Process) {
	t.Helper()
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	var restarts atomic.Int32
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-ctx.Done():
				return
			case <-p.Exited():
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(restartDelay):
			}
			restarts.Add(1)
			if err := p.Start(); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-stopped
		if n := restarts.Load(); n > 0 {
			t.Logf("%s exited and was restarted %d times", p.Name, n)
		}
	})
}
