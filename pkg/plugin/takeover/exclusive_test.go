// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package takeover_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/client-go/discovery"
	fakediscovery "k8s.io/client-go/discovery/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/batchgate/batchgate/pkg/plugin/cluster"
	"github.com/batchgate/batchgate/pkg/plugin/cluster/fake"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
	"github.com/batchgate/batchgate/pkg/plugin/takeover"
)

// twoKubeAPIServers adds a second kube-apiserver, which shares everything with the first one but its flags.
func twoKubeAPIServers(t *testing.T, c *fake.Cluster) (second *fake.Server) {
	t.Helper()
	other := *c.KubeAPIServer
	second = &other
	if err := c.SetKubeAPIServers(func(address string) (cluster.Server, error) {
		if address == fake.SecondKubeAPIServer {
			return second, nil
		}
		return c.KubeAPIServer, nil
	}); err != nil {
		t.Fatal(err)
	}
	return second
}

func exclusively(t *testing.T, c *fake.Cluster, r *recorder, timeout time.Duration, progress func(string)) error {
	t.Helper()
	operation := &takeover.Takeover{
		Cluster: c.Cluster, Batchgate: c.Connection(), Report: r.report,
		Exclusive: true, RestartTimeout: timeout, Progress: progress,
	}
	return operation.Run(t.Context())
}

// The admin restarts one kube-apiserver after the other, as the progress asks.
func TestTakeover_Exclusive(t *testing.T) {
	c := newCluster(t)
	second := twoKubeAPIServers(t, c)
	var progress []string
	r := &recorder{}
	err := exclusively(t, c, r, time.Minute, func(text string) {
		progress = append(progress, text)
		if c.KubeAPIServer.BatchDisabled {
			second.BatchDisabled = true
		}
		c.KubeAPIServer.BatchDisabled = true
	})
	if err != nil {
		t.Fatalf("%v\n%+v", err, *r)
	}
	checkTakenOver(t, c)
	const want = "restart every kube-apiserver with --runtime-config=batch/v1=false; "
	if expected := []string{
		want + "without that flag: 10.0.0.1:6443, 10.0.0.2:6443",
		want + "with --runtime-config=batch/v1=false: 10.0.0.1:6443; without that flag: 10.0.0.2:6443",
	}; !slices.Equal(progress, expected) {
		t.Errorf("got progress %q, want %q", progress, expected)
	}
	got := r.result("exclusive")
	if got.Detail != "no kube-apiserver can serve Jobs without the gate: with --runtime-config=batch/v1=false: 10.0.0.1:6443, 10.0.0.2:6443" || !strings.Contains(got.Undo, cluster.RollbackCommand) {
		t.Errorf("unexpected result: %+v", got)
	}

	// A repeated command finds everything done.
	if err := exclusively(t, c, r, time.Minute, func(text string) { t.Errorf("unexpected progress: %s", text) }); err != nil {
		t.Error(err)
	}

	// The way back: first all kube-apiservers, then the rollback.
	c.KubeAPIServer.BatchDisabled = false
	if err := rollBack(t, c, &recorder{}); !errors.Is(err, steps.ErrNothingChanged) || !strings.Contains(err.Error(), "with --runtime-config=batch/v1=false: 10.0.0.2:6443") {
		t.Errorf("unexpected error: %v", err)
	}
	checkTakenOver(t, c)
	second.BatchDisabled = false
	if err := rollBack(t, c, &recorder{}); err != nil {
		t.Error(err)
	}
	checkNative(t, c)
}

// If not every kube-apiserver is known to have the flag, the gate has a gap, and the command fails. The
// takeover stays.
func TestTakeover_ExclusiveIncomplete(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare func(*testing.T, *fake.Cluster)
		want    string
	}{
		"one without the flag": {func(t *testing.T, c *fake.Cluster) {
			twoKubeAPIServers(t, c)
			c.KubeAPIServer.BatchDisabled = true
		}, "without that flag: 10.0.0.2:6443"},
		"none listed": {func(_ *testing.T, c *fake.Cluster) {
			c.KubeAPIServer.BatchDisabled = true
		}, "not checked: others (Service default/kubernetes lists none)"},
		"one not reachable": {func(t *testing.T, c *fake.Cluster) {
			c.KubeAPIServer.BatchDisabled = true
			if err := c.SetKubeAPIServers(func(address string) (cluster.Server, error) {
				if address == fake.SecondKubeAPIServer {
					return nil, errors.New("no route to host")
				}
				return c.KubeAPIServer, nil
			}); err != nil {
				t.Fatal(err)
			}
		}, "not checked: 10.0.0.2:6443 (no route to host)"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			tc.prepare(t, c)
			err := exclusively(t, c, &recorder{}, 50*time.Millisecond, func(string) {})
			if err == nil || !strings.Contains(err.Error(), tc.want) || errors.Is(err, steps.ErrRolledBack) {
				t.Errorf("unexpected error: %v", err)
			}
			checkTakenOver(t, c)
		})
	}
}

// A kube-apiserver that stops is no longer listed. It may start again without the flag.
func TestTakeover_ExclusiveNoLongerListed(t *testing.T) {
	c := newCluster(t)
	twoKubeAPIServers(t, c)
	slices := c.KubeAPIServer.DiscoveryV1().EndpointSlices("default")
	err := exclusively(t, c, &recorder{}, 200*time.Millisecond, func(string) {
		c.KubeAPIServer.BatchDisabled = true
		slice, err := slices.Get(t.Context(), "kubernetes", metav1.GetOptions{})
		if err != nil {
			t.Error(err)
			return
		}
		slice.Endpoints = slice.Endpoints[:1]
		if _, err := slices.Update(t.Context(), slice, metav1.UpdateOptions{}); err != nil {
			t.Error(err)
		}
	})
	if err == nil || !strings.Contains(err.Error(), "not checked: 10.0.0.2:6443 (no longer listed by Service default/kubernetes)") {
		t.Errorf("unexpected error: %v", err)
	}
}

// Behind the address of the kubeconfig are kube-apiservers that Service kubernetes does not list.
func TestTakeover_ExclusiveBehindLoadBalancer(t *testing.T) {
	c := newCluster(t)
	second := twoKubeAPIServers(t, c)
	c.KubeAPIServer.BatchDisabled, second.BatchDisabled = true, true
	third := *c.KubeAPIServer
	third.BatchDisabled = false
	connections := 0
	c.NewConnection = func() (cluster.Server, func(), error) {
		if connections++; connections%2 == 0 {
			return &third, func() {}, nil
		}
		return c.KubeAPIServer, func() {}, nil
	}
	err := exclusively(t, c, &recorder{}, 200*time.Millisecond, func(string) {})
	if err == nil || !strings.Contains(err.Error(), "with --runtime-config=batch/v1=false: 10.0.0.1:6443, 10.0.0.2:6443") {
		t.Errorf("unexpected error: %v", err)
	}
}

// A failed takeover is undone if the kube-apiserver of the kubeconfig served Jobs itself before, even if
// another one has the flag.
func TestTakeover_UndoneWithMixedFlags(t *testing.T) {
	c := newCluster(t)
	twoKubeAPIServers(t, c).BatchDisabled = true
	c.After = func(string) error {
		c.Batchgate.Down = c.Batchgate.Down || c.TakenOver()
		return nil
	}
	c.Timing.Switch = 50 * time.Millisecond
	// The other one serves no Jobs, as before the takeover.
	err := takeOverWithin(t, c, &recorder{}, 50*time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "kube-apiserver at 10.0.0.2:6443: listing Jobs") {
		t.Errorf("unexpected error: %v", err)
	}
	checkNative(t, c)
}

// withVersion is a kube-apiserver of another version.
type withVersion struct {
	cluster.Server
	version string
}

func (s withVersion) Discovery() discovery.DiscoveryInterfaces {
	return &fakediscovery.FakeDiscovery{Fake: &clienttesting.Fake{}, FakedServerVersion: &version.Info{GitVersion: s.version}}
}

// One of two kube-apiservers is upgraded already.
func TestVersionsOfEveryKubeAPIServer(t *testing.T) {
	c := newCluster(t)
	if err := c.SetKubeAPIServers(func(address string) (cluster.Server, error) {
		if address == fake.SecondKubeAPIServer {
			return withVersion{c.KubeAPIServer, "v1.38.0"}, nil
		}
		return c.KubeAPIServer, nil
	}); err != nil {
		t.Fatal(err)
	}
	const want = "kube-apiserver at 10.0.0.2:6443: the cluster is Kubernetes 1.38 and Batchgate emulates 1.37"
	r := &recorder{}
	if err := takeOver(t, c, r); !errors.Is(err, steps.ErrNothingChanged) || !strings.Contains(r.result("versions").Error, want) {
		t.Errorf("unexpected error or result: %v, %+v", err, r.result("versions"))
	}
	s, err := takeover.ReadStatus(t.Context(), c.Cluster, c.Connection())
	if err != nil || !strings.Contains(s.Batchgate.Skew, want) {
		t.Errorf("unexpected status: %v, %+v", err, s.Batchgate)
	}
}
