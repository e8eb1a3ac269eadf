// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package takeover_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kubefake "k8s.io/client-go/kubernetes/fake"
	batchv1client "k8s.io/client-go/kubernetes/typed/batch/v1"
	clienttesting "k8s.io/client-go/testing"
	apiregistrationv1 "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/plugin/cluster"
	"github.com/batchgate/batchgate/pkg/plugin/cluster/fake"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
	"github.com/batchgate/batchgate/pkg/plugin/takeover"
)

// newCluster returns a cluster whose servers share an etcd with one Job.
func newCluster(t *testing.T) *fake.Cluster {
	t.Helper()
	storage := fake.NewMemory(100)
	job := cluster.Canary()
	job.Name, job.UID = "pi", "1"
	if err := storage.Put("jobs", job); err != nil {
		t.Fatal(err)
	}
	return fake.New(storage, storage)
}

// recorder collects results.
type recorder []steps.Result

func (r *recorder) report(result steps.Result) { *r = append(*r, result) }

// result returns the last result of that name.
func (r recorder) result(name string) *steps.Result {
	for _, result := range slices.Backward(r) {
		if result.Name == name {
			return &result
		}
	}
	return &steps.Result{}
}

func takeOver(t *testing.T, c *fake.Cluster, r *recorder) error {
	t.Helper()
	return takeOverWithin(t, c, r, 10*time.Second)
}

// takeOverWithin is for takeovers that fail after the timeout.
func takeOverWithin(t *testing.T, c *fake.Cluster, r *recorder, timeout time.Duration) error {
	t.Helper()
	o := takeover.Takeover{Cluster: c.Cluster, Batchgate: c.Connection(), Report: r.report, Timeout: timeout}
	return o.Run(t.Context())
}

func rollBack(t *testing.T, c *fake.Cluster, r *recorder) error {
	t.Helper()
	o := takeover.Rollback{Cluster: c.Cluster, Report: r.report}
	return o.Run(t.Context())
}

// checkNative fails the test unless kube-apiserver serves batch/v1 as in a new cluster.
func checkNative(t *testing.T, c *fake.Cluster) {
	t.Helper()
	a := c.APIService()
	if a == nil {
		t.Fatal("the APIService is missing")
	}
	if a.Spec.Service != nil || a.Spec.CABundle != nil || a.Labels[policy.AutoManagedLabel] != policy.AutoManagedOnStart || len(a.Annotations) > 0 {
		t.Errorf("unexpected APIService: %+v", a)
	}
	if a.Spec.Group != "batch" || a.Spec.Version != "v1" || a.Spec.GroupPriorityMinimum != 17400 || a.Spec.VersionPriority != 15 {
		t.Errorf("unexpected spec: %+v", a.Spec)
	}
}

// checkTakenOver fails the test unless Batchgate serves batch/v1.
func checkTakenOver(t *testing.T, c *fake.Cluster) {
	t.Helper()
	a := c.APIService()
	if a == nil || a.Spec.Service == nil || a.Spec.Service.Name != policy.ServiceName || string(a.Spec.CABundle) != "ca" || a.Labels[policy.AutoManagedLabel] != "" {
		t.Errorf("unexpected APIService: %+v", a)
	}
}

func TestTakeover_Run(t *testing.T) {
	c := newCluster(t)
	r := &recorder{}
	if err := takeOver(t, c, r); err != nil {
		t.Fatal(err)
	}
	checkTakenOver(t, c)
	for name, want := range map[string]string{
		"permissions": "permissions", "current server": "kube-apiserver", "service": "1 ready", "server": "certificate valid until 2100-01-01",
		"versions": "cluster 1.37.2, server 1.37.2", "discovery": "the same 2 resources and 2 paths", "objects": "the same 1 Jobs and CronJobs",
		"canary": "a Job and a CronJob in default were written and read through both servers, and deleted", "take over": "v1.batch points to batchgate-system/batchgate-apiserver",
		"available": "after", "objects through kube-apiserver": "the same 1 Jobs and CronJobs",
	} {
		if got := r.result(name); got.Error != "" || !strings.Contains(got.Detail, want) {
			t.Errorf("%s: %+v, want %q", name, got, want)
		}
	}
	again := &recorder{}
	if err := takeOver(t, c, again); err != nil || !strings.Contains(again.result("take over").Detail, "already") {
		t.Errorf("repeated: %v, %+v", err, again)
	}
	if err := rollBack(t, c, again); err != nil {
		t.Fatal(err)
	}
	checkNative(t, c)
	if got := again.result("roll back"); got.Undo != "kubectl batchgate takeover" {
		t.Errorf("unexpected undo command: %q", got.Undo)
	}
	if got := again.result("discovery"); got.Detail != "kube-apiserver no longer asks Batchgate" {
		t.Errorf("discovery: %+v", got)
	}
}

func TestTakeover_RunWithoutJobs(t *testing.T) {
	storage := fake.NewMemory(1)
	c := fake.New(storage, storage)
	r := &recorder{}
	if err := takeOver(t, c, r); err != nil || !strings.HasPrefix(r.result("canary").Detail, "a Job and a CronJob in default were written") {
		t.Errorf("unexpected error or result: %v, %+v", err, r)
	}
}

func TestTakeover_DryRun(t *testing.T) {
	c := newCluster(t)
	r := &recorder{}
	o := takeover.Takeover{Cluster: c.Cluster, Batchgate: c.Connection(), Report: r.report, DryRun: true}
	if err := o.Run(t.Context()); err != nil || !strings.Contains(r.result("take over").Detail, "would point") {
		t.Errorf("unexpected error or result: %v, %+v", err, r)
	}
	checkNative(t, c)
}

// Differences that do not affect Jobs are reported but do not fail the check.
func TestTakeover_Notes(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare     func(*fake.Cluster)
		check, want string
	}{
		"different gate without effect on Jobs": {func(c *fake.Cluster) {
			c.Batchgate.FeatureGates = map[string]bool{"JobManagedBy": true, "WatchList": false}
		}, "feature gates", "the same 1 feature gates; not the same, but without effect on Jobs: 1 (WatchList)"},
		"unknown gate": {func(c *fake.Cluster) {
			c.Batchgate.FeatureGates = map[string]bool{"WatchList": true}
		}, "feature gates", "known to one server only: 1 (JobManagedBy)"},
		"metrics not readable": {func(c *fake.Cluster) {
			c.KubeAPIServer.MetricsForbidden = true
		}, "feature gates", "not checked, since /metrics of kube-apiserver is not readable"},
		"no gates in metrics": {func(c *fake.Cluster) {
			c.Batchgate.Change = func(path string, body []byte) []byte {
				if path == "/metrics" {
					return nil
				}
				return body
			}
		}, "feature gates", "not checked, since Batchgate does not publish its feature gates"},
		"more fields": {func(c *fake.Cluster) {
			c.KubeAPIServer.Fields = map[string][]string{"io.k8s.api.core.v1.PodSpec": {"containers"}}
		}, "schemas", "all 1 fields of the cluster are known; more fields of the server: 2 (io.k8s.api.batch.v1.JobSpec.parallelism"},
		"no schemas": {func(c *fake.Cluster) {
			c.Before = failOn(apierrors.NewNotFound(batchv1.Resource("x"), ""), "kube-apiserver read /openapi/v3/apis/batch/v1")
		}, "schemas", "not checked"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			tc.prepare(c)
			r := &recorder{}
			if err := takeOver(t, c, r); err != nil || !strings.Contains(r.result(tc.check).Detail, tc.want) {
				t.Errorf("unexpected error or result: %v, %+v, want %q", err, r.result(tc.check), tc.want)
			}
		})
	}
}

// A failed check must not change the cluster.
func TestTakeover_FailedCheck(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare     func(*fake.Cluster)
		check, want string
	}{
		"missing permission": {func(c *fake.Cluster) { c.Denied["delete apiservices"] = true }, "permissions", "the user may not delete apiservices"},
		"third server": {func(c *fake.Cluster) {
			b := c.Connection()
			b.Service.Name = "other"
			a, _ := c.BatchAPIService(t.Context())
			if err := c.TakeOver(t.Context(), a, b, nil); err != nil {
				t.Error(err)
			}
		}, "current server", "v1.batch is served by batchgate-system/other: roll that back first"},
		"missing Service": {func(c *fake.Cluster) {
			if err := c.KubeAPIServer.CoreV1().Services(fake.Service.Namespace).Delete(t.Context(), fake.Service.Name, metav1.DeleteOptions{}); err != nil {
				t.Error(err)
			}
		}, "service", "install Batchgate first"},
		"no ready endpoint": {func(c *fake.Cluster) {
			if err := c.KubeAPIServer.DiscoveryV1().EndpointSlices(fake.Service.Namespace).Delete(t.Context(), "batchgate", metav1.DeleteOptions{}); err != nil {
				t.Error(err)
			}
		}, "service", "has no ready endpoint"},
		"server down":              {func(c *fake.Cluster) { c.Batchgate.Down = true }, "server", "connection refused"},
		"server down, later check": {func(c *fake.Cluster) { c.Batchgate.Down = true }, "canary", "could not be reached"},
		"server not ready":         {func(c *fake.Cluster) { c.Batchgate.Ready = false }, "server", "see its /readyz?verbose"},
		"expiring certificate":     {func(c *fake.Cluster) { c.Certificate.NotAfter = time.Now().Add(time.Hour) }, "server", "renew it first"},
		"other minor version":      {func(c *fake.Cluster) { c.Batchgate.SetVersion("v1.36.0") }, "versions", "install the server of the cluster's minor version"},
		"unparsable version":       {func(c *fake.Cluster) { c.Batchgate.SetVersion("x") }, "versions", "could not parse"},
		"other resources": {func(c *fake.Cluster) {
			c.Batchgate.Resources[0].APIResources = c.Batchgate.Resources[0].APIResources[:1]
		}, "discovery", "1 missing (cronjobs"},
		"other paths": {func(c *fake.Cluster) {
			c.Batchgate.Paths = append(c.Batchgate.Paths, "/apis/batch/v1/more")
		}, "discovery", "1 more (/apis/batch/v1/more)"},
		"other feature gate": {func(c *fake.Cluster) {
			c.Batchgate.FeatureGates = map[string]bool{"JobManagedBy": false, "WatchList": true}
		}, "feature gates", "1 feature gates that matter to Jobs differ: set --feature-gates=JobManagedBy=true on the server"},
		"unknown field": {func(c *fake.Cluster) {
			c.Batchgate.Fields = map[string][]string{"io.k8s.api.batch.v1.JobSpec": {"parallelism", "template"}}
		}, "schemas", "does not know 1 (io.k8s.api.core.v1.PodSpec.containers) of the cluster's fields"},
		"other etcd, revision ahead":  {func(c *fake.Cluster) { c.Batchgate.Storage = fake.NewMemory(1000) }, "objects", "is at revision 1000"},
		"other etcd, revision behind": {func(c *fake.Cluster) { c.Batchgate.Storage = fake.NewMemory(1) }, "objects", "is at revision 1"},
		"other etcd, same revision":   {func(c *fake.Cluster) { c.Batchgate.Storage = fake.NewMemory(101) }, "objects", "1 missing (jobs default/pi"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			tc.prepare(c)
			before := c.APIService().DeepCopy()
			r := &recorder{}
			if err := takeOver(t, c, r); !errors.Is(err, steps.ErrNothingChanged) {
				t.Errorf("unexpected error: %v", err)
			}
			if got := r.result(tc.check); !strings.Contains(got.Error, tc.want) {
				t.Errorf("%s: %+v, want %q", tc.check, got, tc.want)
			}
			if after := c.APIService(); after.ResourceVersion != before.ResourceVersion {
				t.Errorf("the APIService was changed: %+v", after)
			}
		})
	}
}

func TestTakeover_WrongServicePort(t *testing.T) {
	c := newCluster(t)
	b := c.Connection()
	b.Service.Port = 1
	o := takeover.Takeover{Cluster: c.Cluster, Batchgate: b, Report: func(steps.Result) {}}
	if err := o.Run(t.Context()); !errors.Is(err, steps.ErrNothingChanged) {
		t.Errorf("unexpected error: %v", err)
	}
	checkNative(t, c)
}

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

func TestTakeover_ConflictingChange(t *testing.T) {
	c := newCluster(t)
	c.Before = func(request string) error {
		if request == "kube-apiserver patch apiservices v1.batch" {
			c.Touch()
		}
		return nil
	}
	r := &recorder{}
	if err := takeOver(t, c, r); !errors.Is(err, steps.ErrNothingChanged) || !strings.Contains(err.Error(), "was changed by another client") {
		t.Errorf("unexpected error: %v", err)
	}
	if c.TakenOver() {
		t.Error("the other change was overwritten")
	}
}

func TestTakeover_KeepsCertManagerAnnotations(t *testing.T) {
	c := newCluster(t)
	a, err := c.Aggregator.ApiregistrationV1().APIServices().Get(t.Context(), policy.PolicyAPIService, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	a.Annotations = map[string]string{policy.CertManagerInjectAnnotation: "a/b"}
	if _, err := c.Aggregator.ApiregistrationV1().APIServices().Update(t.Context(), a, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := takeOver(t, c, &recorder{}); err != nil {
		t.Fatal(err)
	}
	if got := c.APIService().Annotations[policy.CertManagerInjectAnnotation]; got != "a/b" {
		t.Errorf("unexpected annotation: %q", got)
	}
	if err := rollBack(t, c, &recorder{}); err != nil {
		t.Fatal(err)
	}
	checkNative(t, c)
}

// Any request may fail or be the last one before a kill. In each case the error describes the state
// correctly, and the command can be repeated or rolled back.
func TestTakeover_Interrupted(t *testing.T) {
	for _, mode := range fake.Modes {
		t.Run(string(mode), func(t *testing.T) {
			for n := 1; ; n++ {
				c := newCluster(t)
				request, err := c.RunWithFault(n, mode, func() error { return takeOver(t, c, &recorder{}) })
				if request == "" {
					if n < 40 || err != nil {
						t.Errorf("after %d requests: %v", n, err)
					}
					return
				}
				switch {
				case err == nil:
					checkTakenOver(t, c)
				case errors.Is(err, steps.ErrNothingChanged), errors.Is(err, steps.ErrRolledBack):
					checkNative(t, c)
				}
				if c.APIService() == nil && !mode.Kills() {
					t.Error("the APIService is missing")
				}
				if c.APIService() != nil {
					if err := takeOver(t, c, &recorder{}); err != nil {
						t.Errorf("repeated: %v", err)
					}
					checkTakenOver(t, c)
				}
				if err := rollBack(t, c, &recorder{}); err != nil {
					t.Errorf("rolled back: %v", err)
				}
				checkNative(t, c)
				if t.Failed() {
					t.Fatalf("request %d, %q: %v", n, request, err)
				}
			}
		})
	}
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
