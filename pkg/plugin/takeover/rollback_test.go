// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package takeover_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/plugin/cluster"
	"github.com/batchgate/batchgate/pkg/plugin/cluster/fake"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
	"github.com/batchgate/batchgate/pkg/plugin/takeover"
)

func TestRollback_Interrupted(t *testing.T) {
	for _, mode := range fake.Modes {
		t.Run(string(mode), func(t *testing.T) {
			for n := 1; ; n++ {
				c := newCluster(t)
				if err := takeOver(t, c, &recorder{}); err != nil {
					t.Fatal(err)
				}
				c.Batchgate.Down = true
				request, err := c.RunWithFault(n, mode, func() error { return rollBack(t, c, &recorder{}) })
				if request == "" {
					if n < 3 || mode == fake.Fail && n < 15 || err != nil {
						t.Errorf("after %d requests: %v", n, err)
					}
					return
				}
				if c.APIService() == nil && !mode.Kills() {
					t.Error("the APIService is missing")
				}
				if err == nil {
					checkNative(t, c)
				}
				if err := rollBack(t, c, &recorder{}); err != nil {
					t.Errorf("repeated: %v", err)
				}
				checkNative(t, c)
				if fresh, err := c.DiscoveryFresh(t.Context()); err != nil || !fresh {
					t.Errorf("discovery is stale: %v", err)
				}
				if t.Failed() {
					t.Fatalf("request %d, %q: %v", n, request, err)
				}
			}
		})
	}
}

func TestRollback_States(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare    func(*testing.T, *fake.Cluster)
		dryRun     bool
		want, err  string
		wantNative bool
	}{
		"nothing to do":          {func(*testing.T, *fake.Cluster) {}, false, "is served by kube-apiserver already", "", true},
		"nothing to do, dry run": {func(*testing.T, *fake.Cluster) {}, true, "is served by kube-apiserver already", "", true},
		"missing":                {deleteAPIService, false, "was missing and is recreated", "", true},
		"missing, dry run":       {deleteAPIService, true, "would be recreated", "", false},
		"taken over":             {takenOver(""), false, "points to kube-apiserver", "", true},
		"taken over, dry run":    {takenOver(""), true, "would point v1.batch from batchgate-system/batchgate-apiserver to kube-apiserver", "", false},
		"dedicated etcd":         {takenOver(policy.EtcdDedicated), false, "", "Set --etcd-servers to the cluster's etcd", false},
		"importing, not frozen":  {takenOver(policy.EtcdImporting), false, "", "the freeze of the import was lifted", false},
		"leftover of import":     {leftover, false, "points to kube-apiserver", "", true},
		"leftover, dry run":      {leftover, true, "would restore its labels and annotations", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			tc.prepare(t, c)
			before := c.APIService()
			r := &recorder{}
			o := takeover.Rollback{Cluster: c.Cluster, Report: r.report, DryRun: tc.dryRun}
			err := o.Run(t.Context())
			if tc.err == "" && err != nil || tc.err != "" && (!errors.Is(err, steps.ErrNothingChanged) || !strings.Contains(err.Error(), tc.err)) {
				t.Errorf("unexpected error: %v", err)
			}
			if got := r.result("roll back").Detail; !strings.Contains(got, tc.want) {
				t.Errorf("unexpected detail: %q", got)
			}
			if tc.wantNative {
				checkNative(t, c)
			} else if after := c.APIService(); before != nil && after.ResourceVersion != before.ResourceVersion {
				t.Errorf("the APIService was changed: %+v", after)
			}
		})
	}
}

func deleteAPIService(t *testing.T, c *fake.Cluster) {
	t.Helper()
	if err := c.Aggregator.ApiregistrationV1().APIServices().Delete(t.Context(), policy.BatchAPIService, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
}

// leftover annotates an APIService that kube-apiserver serves.
func leftover(t *testing.T, c *fake.Cluster) {
	t.Helper()
	a, err := c.BatchAPIService(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetEtcdAnnotation(t.Context(), a, policy.EtcdImporting); err != nil {
		t.Fatal(err)
	}
}

func takenOver(etcd string) func(*testing.T, *fake.Cluster) {
	return func(t *testing.T, c *fake.Cluster) {
		t.Helper()
		a, err := c.BatchAPIService(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		annotations, err := c.TakeoverAnnotations(t.Context(), fake.Service, etcd)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.TakeOver(t.Context(), a, c.Connection(), annotations); err != nil {
			t.Fatal(err)
		}
	}
}

// One of two kube-apiservers does not notice the rollback.
func TestRollback_EveryKubeAPIServer(t *testing.T) {
	c := newCluster(t)
	takenOver("")(t, c)
	outdated := c.Outdated()
	setKubeAPIServers(t, c, func() cluster.Server { return outdated }, nil)
	c.Timing.Switch = 20 * time.Millisecond
	const want = "kube-apiserver at 10.0.0.2:6443: it still proxies requests for Jobs to Batchgate"
	if err := rollBack(t, c, &recorder{}); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("the error is %v", err)
	}
	checkNative(t, c)
	outdated = c.KubeAPIServer
	if err := rollBack(t, c, &recorder{}); err != nil {
		t.Error(err)
	}
}

// Two kube-apiservers disagree about whether Batchgate is available, and keep changing v1.batch.
func TestRollback_ManyConflicts(t *testing.T) {
	c := newCluster(t)
	takenOver("")(t, c)
	conflicts := 0
	c.Before = func(request string) error {
		if request == "kube-apiserver patch apiservices v1.batch" && conflicts < 20 {
			conflicts++
			c.Touch()
		}
		return nil
	}
	if err := rollBack(t, c, &recorder{}); err != nil || conflicts < 20 {
		t.Errorf("after %d conflicts: %v", conflicts, err)
	}
	checkNative(t, c)
}

// The patch of a takeover times out before it is stored. It must not be stored later.
func TestTakeover_LatePatch(t *testing.T) {
	c := newCluster(t)
	before, err := c.BatchAPIService(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	lost := false
	c.Before = func(request string) error {
		if request == "kube-apiserver patch apiservices v1.batch" && !lost {
			lost = true
			return errors.New("i/o timeout")
		}
		return nil
	}
	if err := takeOver(t, c, &recorder{}); !errors.Is(err, steps.ErrNothingChanged) || !lost {
		t.Errorf("the error is %v", err)
	}
	if err := c.TakeOver(t.Context(), before, c.Connection(), nil); !apierrors.IsConflict(err) {
		t.Errorf("the late patch: %v", err)
	}
	checkNative(t, c)
}

func TestRollback_WhileJobsAreUnavailable(t *testing.T) {
	c := newCluster(t)
	takenOver("")(t, c)
	var up atomic.Bool
	c.Before = func(request string) error {
		if request == "kube-apiserver list jobs " && !up.Load() {
			return errors.New("etcd is down")
		}
		return nil
	}
	o := takeover.Rollback{Cluster: c.Cluster, Report: func(steps.Result) {}}
	done := make(chan error, 1)
	go func() { done <- o.Run(t.Context()) }()
	select {
	case err := <-done:
		t.Errorf("it ended although Jobs cannot be listed: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	up.Store(true)
	if err := <-done; err != nil {
		t.Error(err)
	}
	checkNative(t, c)
}
