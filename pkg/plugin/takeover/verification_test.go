// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package takeover_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/batchgate/batchgate/pkg/plugin/cluster"
	"github.com/batchgate/batchgate/pkg/plugin/cluster/fake"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
)

func TestTakeover_RollsBackIfVerificationFails(t *testing.T) {
	for name, tc := range map[string]struct {
		after       func(*fake.Cluster)
		check, want string
	}{
		"unavailable":   {func(c *fake.Cluster) { c.Batchgate.Down = true }, "available", "v1.batch is not available: FailedDiscoveryCheck: no response"},
		"other objects": {func(c *fake.Cluster) { c.KubeAPIServer.Change = withoutItems }, "objects through kube-apiserver", "differ from the cluster's"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			c.After = func(request string) error {
				if request == "kube-apiserver patch apiservices v1.batch" && c.TakenOver() {
					tc.after(c)
				}
				return nil
			}
			r := &recorder{}
			if err := takeOverWithin(t, c, r, 200*time.Millisecond); !errors.Is(err, steps.ErrRolledBack) {
				t.Errorf("unexpected error: %v", err)
			}
			if got := r.result(tc.check); !strings.Contains(got.Error, tc.want) {
				t.Errorf("%s: %+v, want %q", tc.check, got, tc.want)
			}
			checkNative(t, c)
		})
	}
}

// withoutItems empties lists of Jobs.
func withoutItems(path string, body []byte) []byte {
	if path != "/apis/batch/v1/jobs" {
		return body
	}
	before, rest, _ := strings.Cut(string(body), `"items":[`)
	_, after, _ := strings.Cut(rest, `],"kind"`)
	return []byte(before + `"items":[],"kind"` + after)
}

// A repeated takeover that fails must not roll back the earlier one.
func TestTakeover_RepeatedWhileUnavailable(t *testing.T) {
	c := newCluster(t)
	if err := takeOver(t, c, &recorder{}); err != nil {
		t.Fatal(err)
	}
	done := 0
	c.After = func(request string) error {
		if strings.HasPrefix(request, "Batchgate delete cronjobs ") { // in the last check
			done++
		}
		c.Batchgate.Down = c.Batchgate.Down || done == 1 && strings.HasPrefix(request, "Batchgate get cronjobs ")
		return nil
	}
	r := &recorder{}
	if err := takeOverWithin(t, c, r, 200*time.Millisecond); err == nil || errors.Is(err, steps.ErrRolledBack) || done != 1 {
		t.Errorf("unexpected error: %v", err)
	}
	checkTakenOver(t, c)
}

// setKubeAPIServers registers two kube-apiservers. second returns the second one, unless err is set.
func setKubeAPIServers(t *testing.T, c *fake.Cluster, second func() cluster.Server, err error) {
	t.Helper()
	connect := func(address string) (cluster.Server, error) {
		switch {
		case address != fake.SecondKubeAPIServer:
			return c.KubeAPIServer, nil
		case err != nil:
			return nil, err
		}
		return second(), nil
	}
	if err := c.SetKubeAPIServers(connect); err != nil {
		t.Fatal(err)
	}
}

func TestTakeover_EveryKubeAPIServer(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare func(*testing.T, *fake.Cluster)
		err     error
		want    string
	}{
		"all serve": {func(t *testing.T, c *fake.Cluster) {
			setKubeAPIServers(t, c, func() cluster.Server { return c.KubeAPIServer }, nil)
		}, nil, "new connections have served Jobs for 3ms; checked one by one: 10.0.0.1:6443, 10.0.0.2:6443"},
		"one not reachable from here": {func(t *testing.T, c *fake.Cluster) {
			setKubeAPIServers(t, c, nil, errors.New("i/o timeout"))
		}, nil, "checked one by one: 10.0.0.1:6443; not checked one by one: 10.0.0.2:6443 (i/o timeout)"},
		"one no longer reachable": {func(t *testing.T, c *fake.Cluster) {
			setKubeAPIServers(t, c, nil, nil)
			connections := 0
			c.ConnectTo = func(string) (cluster.Server, func(), error) {
				if c.TakenOver() {
					connections++
				}
				if connections > 4 {
					return nil, nil, errors.New("i/o timeout")
				}
				return c.KubeAPIServer, func() {}, nil
			}
		}, steps.ErrRolledBack, "kube-apiserver at 10.0.0.1:6443: i/o timeout"},
		"one cut off from Batchgate": {func(t *testing.T, c *fake.Cluster) {
			setKubeAPIServers(t, c, c.CutOff, nil)
		}, steps.ErrRolledBack, "kube-apiserver at 10.0.0.2:6443: listing Jobs: error trying to reach service: no route to host"},
		"one serves Jobs itself": {func(t *testing.T, c *fake.Cluster) {
			outdated := c.Outdated()
			setKubeAPIServers(t, c, func() cluster.Server { return outdated }, nil)
		}, steps.ErrRolledBack, "kube-apiserver at 10.0.0.2:6443: it serves Jobs itself: its responses do not have the header Batchgate-Version"},
		"one of two behind a load balancer cut off": {func(_ *testing.T, c *fake.Cluster) {
			connections := 0
			c.NewConnection = func() (cluster.Server, func(), error) {
				connections++
				if connections%2 == 0 && c.TakenOver() {
					return c.CutOff(), func() {}, nil
				}
				return c.KubeAPIServer, func() {}, nil
			}
		}, steps.ErrRolledBack, "waiting for every kube-apiserver to serve Jobs through Batchgate"},
		"unavailable after a while": {func(_ *testing.T, c *fake.Cluster) {
			c.After = func(request string) error {
				c.Batchgate.Down = c.Batchgate.Down || c.TakenOver() && request == "Batchgate read /apis/batch/v1/cronjobs"
				return nil
			}
		}, steps.ErrRolledBack, "v1.batch is not available: FailedDiscoveryCheck"},
		"changed by another client": {func(_ *testing.T, c *fake.Cluster) {
			c.After = func(request string) error {
				if c.TakenOver() && request == "Batchgate read /apis/batch/v1/cronjobs" {
					c.Touch(func(a *apiregistrationv1.APIService) { a.Spec.Service.Name = "other" })
				}
				return nil
			}
		}, steps.ErrRolledBack, "v1.batch was pointed to batchgate-system/other by another client"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			tc.prepare(t, c)
			r := &recorder{}
			timeout := 10 * time.Second
			if tc.err != nil {
				timeout = 200 * time.Millisecond
			}
			if err := takeOverWithin(t, c, r, timeout); !errors.Is(err, tc.err) {
				t.Errorf("unexpected error: %v", err)
			}
			if got := r.result("every kube-apiserver"); !strings.Contains(got.Detail+got.Error, tc.want) {
				t.Errorf("unexpected result: %+v, want %q", got, tc.want)
			}
			if tc.err == nil {
				checkTakenOver(t, c)
				return
			}
			checkNative(t, c)
		})
	}
}
