// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package takeover_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kubefake "k8s.io/client-go/kubernetes/fake"
	batchv1client "k8s.io/client-go/kubernetes/typed/batch/v1"
	clienttesting "k8s.io/client-go/testing"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/utils/ptr"

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

// kubeAPIServers registers two kube-apiservers as the endpoints of the Service kubernetes. connect
// returns a client for an address.
func kubeAPIServers(t *testing.T, c *fake.Cluster, connect func(address string) (cluster.Server, error)) {
	t.Helper()
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kubernetes", Labels: map[string]string{discoveryv1.LabelServiceName: "kubernetes"}},
		Endpoints:  []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.1"}}, {Addresses: []string{"10.0.0.2"}}},
		Ports:      []discoveryv1.EndpointPort{{Port: ptr.To[int32](6443)}},
	}
	if _, err := c.KubeAPIServer.DiscoveryV1().EndpointSlices("default").Create(t.Context(), slice, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.ConnectTo = func(address string) (cluster.Server, func(), error) {
		s, err := connect(address)
		return s, func() {}, err
	}
}

// cutOff is a kube-apiserver that cannot reach Batchgate.
type cutOff struct{ *fake.Server }

func (s cutOff) BatchV1() batchv1client.BatchV1Interface {
	clientset := kubefake.NewSimpleClientset()
	clientset.PrependReactor("*", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewServiceUnavailable("error trying to reach service: no route to host")
	})
	return clientset.BatchV1()
}

func TestTakeover_EveryKubeAPIServer(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare func(*testing.T, *fake.Cluster)
		err     error
		want    string
	}{
		"all serve": {func(t *testing.T, c *fake.Cluster) {
			kubeAPIServers(t, c, func(string) (cluster.Server, error) { return c.KubeAPIServer, nil })
		}, nil, "new connections have served Jobs for 3ms, and so have 2 kube-apiservers"},
		"one not reachable by the plugin": {func(t *testing.T, c *fake.Cluster) {
			kubeAPIServers(t, c, func(address string) (cluster.Server, error) {
				if address == "10.0.0.2:6443" {
					return nil, errors.New("i/o timeout")
				}
				return c.KubeAPIServer, nil
			})
		}, nil, "and so have 1 kube-apiservers; not checked one by one: 10.0.0.2:6443 (i/o timeout)"},
		"one cut off from Batchgate": {func(t *testing.T, c *fake.Cluster) {
			kubeAPIServers(t, c, func(address string) (cluster.Server, error) {
				if address == "10.0.0.2:6443" {
					return cutOff{c.KubeAPIServer}, nil
				}
				return c.KubeAPIServer, nil
			})
		}, steps.ErrRolledBack, "kube-apiserver at 10.0.0.2:6443: listing Jobs: error trying to reach service: no route to host"},
		"one of two behind a load balancer cut off": {func(_ *testing.T, c *fake.Cluster) {
			connections := 0
			c.NewConnection = func() (cluster.Server, func(), error) {
				connections++
				if connections%2 == 0 && c.TakenOver() {
					return cutOff{c.KubeAPIServer}, func() {}, nil
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
