// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package takeover_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/batchgate/batchgate/pkg/plugin/cluster"
	"github.com/batchgate/batchgate/pkg/plugin/cluster/fake"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
	"github.com/batchgate/batchgate/pkg/plugin/takeover"
)

// newNotNative returns a cluster whose kube-apiserver runs with --runtime-config=batch/v1=false.
func newNotNative(t *testing.T) *fake.Cluster {
	t.Helper()
	c := newCluster(t)
	c.KubeAPIServer.BatchDisabled = true
	return c
}

func TestTakeover_NotNative(t *testing.T) {
	for name, prepare := range map[string]func(*testing.T, *fake.Cluster){
		"after the flag was set":     func(*testing.T, *fake.Cluster) {},
		"APIService never created":   deleteAPIService,
		"taken over before the flag": func(t *testing.T, c *fake.Cluster) { takeOverNatively(t, c) },
	} {
		t.Run(name, func(t *testing.T) {
			c := newNotNative(t)
			prepare(t, c)
			r := &recorder{}
			if err := takeOver(t, c, r); err != nil {
				t.Fatalf("%v\n%+v", err, *r)
			}
			checkTakenOver(t, c)
			if got := r.result("objects").Detail; got != "Batchgate uses the cluster's etcd" {
				t.Errorf("unexpected result of objects: %q", got)
			}
			for _, check := range []string{"discovery", "canary"} {
				if got := r.result(check); !strings.Contains(got.Detail, "kube-apiserver does not serve batch/v1 itself") {
					t.Errorf("unexpected result: %+v", got)
				}
			}
		})
	}
}

// After an import, the flag was set, and somebody applied the rollback patch by hand. The takeover
// must keep a later rollback from returning to kube-apiserver's outdated Jobs.
func TestTakeover_NotNativeDedicatedEtcd(t *testing.T) {
	c := newNotNative(t)
	bind(t, c, cluster.Guard)
	if err := takeOver(t, c, &recorder{}); err != nil {
		t.Fatal(err)
	}
	c.KubeAPIServer.BatchDisabled = false
	if err := rollBack(t, c, &recorder{}); !errors.Is(err, takeover.ErrDedicatedEtcd) {
		t.Errorf("unexpected error: %v", err)
	}
	checkTakenOver(t, c)
}

func TestTakeover_NotNativeOtherEtcd(t *testing.T) {
	c := fake.New(fake.NewMemory(100), fake.NewMemory(5))
	c.KubeAPIServer.BatchDisabled = true
	r := &recorder{}
	if err := takeOver(t, c, r); !errors.Is(err, steps.ErrNothingChanged) || !strings.Contains(r.result("objects").Error, "must use the etcd in which the cluster stores Jobs") {
		t.Errorf("unexpected error or result: %v, %+v", err, r.result("objects"))
	}
}

// takeOverNatively takes over before the flag is set.
func takeOverNatively(t *testing.T, c *fake.Cluster) {
	t.Helper()
	c.KubeAPIServer.BatchDisabled = false
	if err := takeOver(t, c, &recorder{}); err != nil {
		t.Fatal(err)
	}
	c.KubeAPIServer.BatchDisabled = true
}

// A kube-apiserver that serves batch/v1 creates v1.batch when it starts. The plugin must not hide
// that it was deleted.
func TestTakeover_MissingAPIService(t *testing.T) {
	c := newCluster(t)
	deleteAPIService(t, c)
	if err := takeOver(t, c, &recorder{}); !errors.Is(err, steps.ErrNothingChanged) {
		t.Errorf("unexpected error: %v", err)
	}
	if a := c.APIService(); a != nil {
		t.Errorf("it was created: %+v", a)
	}
}

func TestTakeover_NotNativeAndVerificationFails(t *testing.T) {
	c := newNotNative(t)
	c.After = func(string) error {
		c.Batchgate.Down = c.Batchgate.Down || c.TakenOver()
		return nil
	}
	err := takeOverWithin(t, c, &recorder{}, 50*time.Millisecond)
	if err == nil || errors.Is(err, steps.ErrRolledBack) || !strings.Contains(err.Error(), "not rolled back") {
		t.Errorf("unexpected error: %v", err)
	}
	checkTakenOver(t, c)
}

func TestRollback_NotNative(t *testing.T) {
	c := newNotNative(t)
	takeOverNatively(t, c)
	if err := rollBack(t, c, &recorder{}); !errors.Is(err, steps.ErrNothingChanged) || !strings.Contains(err.Error(), "Restart every kube-apiserver without that flag first") {
		t.Errorf("unexpected error: %v", err)
	}
	checkTakenOver(t, c)

	deleteAPIService(t, c)
	if err := rollBack(t, c, &recorder{}); !errors.Is(err, steps.ErrNothingChanged) || !strings.Contains(err.Error(), "run "+cluster.TakeoverCommand) {
		t.Errorf("missing: unexpected error: %v", err)
	}
}

// A user who may not read OpenAPI documents can roll back.
func TestRollback_UnknownWhetherNative(t *testing.T) {
	c := newCluster(t)
	takeOverNatively(t, c)
	c.KubeAPIServer.BatchDisabled = false
	c.Before = failOn(errors.New("no response"), "kube-apiserver read /openapi/v3")
	if err := rollBack(t, c, &recorder{}); err != nil {
		t.Error(err)
	}
	checkNative(t, c)
}

func TestReadStatus_NoServer(t *testing.T) {
	c := newNotNative(t)
	s, err := takeover.ReadStatus(t.Context(), c.Cluster, c.Connection())
	if err != nil {
		t.Fatal(err)
	}
	if problems := s.Problems(); !slices.Contains(problems, cluster.ErrNoServer.Error()) {
		t.Errorf("unexpected problems: %q", problems)
	}
}
