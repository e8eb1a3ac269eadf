// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package takeover_test

import (
	"errors"
	"strings"
	"testing"

	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"

	"github.com/batchgate/batchgate/pkg/plugin/cluster"
	"github.com/batchgate/batchgate/pkg/plugin/cluster/fake"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
	"github.com/batchgate/batchgate/pkg/plugin/takeover"
)

func unblock(t *testing.T, c *fake.Cluster, r *recorder, change func(*takeover.Unblock)) error {
	t.Helper()
	u := takeover.Unblock{Cluster: c.Cluster, Service: fake.Service, Report: r.report}
	if change != nil {
		change(&u)
	}
	return u.Run(t.Context())
}

// blocked takes over and then stops everything but kube-apiserver.
func blocked(t *testing.T, c *fake.Cluster) {
	t.Helper()
	takenOver("")(t, c)
	c.Batchgate.Down = true
	c.Blocked = true
}

func TestUnblock_Run(t *testing.T) {
	c := newCluster(t)
	blocked(t, c)
	c.Before = func(request string) error {
		if strings.HasPrefix(request, "Batchgate ") {
			t.Errorf("unexpected request: %s", request)
		}
		return nil
	}
	spec := c.APIService().Spec
	r := &recorder{}
	if err := unblock(t, c, r, nil); err != nil {
		t.Fatal(err)
	}
	if c.Blocked {
		t.Error("kube-apiserver is still blocked")
	}
	checkTakenOver(t, c)
	if got := c.APIService(); got.Spec.CABundle == nil || got.Spec.Service.Name != spec.Service.Name {
		t.Errorf("the spec was changed: %+v", got.Spec)
	}
	for name, want := range map[string]string{"unblock": "was set to True", "kube-apiserver": "no longer waits"} {
		if got := r.result(name); !strings.Contains(got.Detail, want) {
			t.Errorf("%s: %+v, want %q", name, got, want)
		}
	}
}

// The plugin may connect to a kube-apiserver that is not the blocked one.
func TestUnblock_OtherKubeAPIServer(t *testing.T) {
	c := newCluster(t)
	takenOver("")(t, c)
	c.Batchgate.Down = true
	r := &recorder{}
	if err := unblock(t, c, r, nil); err != nil || !strings.Contains(r.result("kube-apiserver").Detail, "another one may") {
		t.Errorf("unexpected error or result: %v, %+v", err, r)
	}
}

func TestUnblock_NothingChanged(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare func(*testing.T, *fake.Cluster)
		change  func(*takeover.Unblock)
		want    string
	}{
		"not taken over": {func(*testing.T, *fake.Cluster) {}, nil, "v1.batch is served by kube-apiserver, not by batchgate-system/batchgate-apiserver"},
		"other Service":  {blocked, func(u *takeover.Unblock) { u.Service.Name = "other" }, "not by batchgate-system/other"},
		"available":      {takenOver(""), nil, "v1.batch is available already"},
		"missing":        {deleteAPIService, nil, "kubectl batchgate rollback recreates it"},
		"no permission": {func(t *testing.T, c *fake.Cluster) {
			blocked(t, c)
			c.Denied["patch apiservices/status"] = true
		}, nil, "the user may not patch apiservices/status"},
		"dry run": {blocked, func(u *takeover.Unblock) { u.DryRun = true }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			tc.prepare(t, c)
			c.Before = func(request string) error {
				if strings.Contains(request, " patch ") {
					t.Errorf("unexpected request: %s", request)
				}
				return nil
			}
			r := &recorder{}
			err := unblock(t, c, r, tc.change)
			if tc.want == "" {
				if err != nil || !strings.Contains(r.result("unblock").Detail, "would set the condition") {
					t.Errorf("unexpected error or result: %v, %+v", err, r)
				}
				return
			}
			found := false
			for _, result := range *r {
				found = found || strings.Contains(result.Error, tc.want)
			}
			if !errors.Is(err, steps.ErrNothingChanged) || !found {
				t.Errorf("unexpected error: %v, %+v", err, r)
			}
		})
	}
}

// The availability controller of kube-apiserver writes the status, too.
func TestUnblock_Conflict(t *testing.T) {
	c := newCluster(t)
	blocked(t, c)
	conflicts := 0
	c.Before = func(request string) error {
		if request == "kube-apiserver patch apiservices v1.batch" && conflicts < 2 {
			conflicts++
			c.Touch()
		}
		return nil
	}
	if err := unblock(t, c, &recorder{}, nil); err != nil || c.Blocked {
		t.Errorf("unexpected error: %v", err)
	}
	point := func(a *apiregistrationv1.APIService) { a.Spec.Service.Name = "other" }
	c.Blocked = true
	c.Before = func(request string) error {
		if request == "kube-apiserver patch apiservices v1.batch" {
			c.Touch(point)
		}
		return nil
	}
	if err := unblock(t, c, &recorder{}, nil); err == nil || !strings.Contains(err.Error(), "was pointed to batchgate-system/other by another client") {
		t.Errorf("unexpected error: %v", err)
	}
}

func TestUnblock_Interrupted(t *testing.T) {
	for _, mode := range fake.Modes {
		t.Run(string(mode), func(t *testing.T) {
			for n := 1; ; n++ {
				c := newCluster(t)
				blocked(t, c)
				request, err := c.RunWithFault(n, mode, func() error { return unblock(t, c, &recorder{}, nil) })
				if request == "" {
					if n < 2 || mode == fake.Fail && n < 6 || err != nil {
						t.Errorf("after %d requests: %v", n, err)
					}
					return
				}
				if errors.Is(err, steps.ErrNothingChanged) && !c.Blocked {
					t.Errorf("request %d, %q: %v", n, request, err)
				}
				if err := unblock(t, c, &recorder{}, nil); err != nil || c.Blocked {
					t.Errorf("request %d, %q, repeated: %v", n, request, err)
				}
			}
		})
	}
}

func TestBlocked(t *testing.T) {
	c := newCluster(t)
	c.Before = func(request string) error {
		if strings.Contains(request, "autoregister") {
			return errors.New("connection refused")
		}
		return nil
	}
	if _, err := cluster.Blocked(t.Context(), c.Kube); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("unexpected error: %v", err)
	}
}
