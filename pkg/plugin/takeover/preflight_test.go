// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package takeover_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/pkg/plugin/cluster"
	"github.com/batchgate/batchgate/pkg/plugin/cluster/fake"
	"github.com/batchgate/batchgate/pkg/plugin/steps"
	"github.com/batchgate/batchgate/pkg/plugin/takeover"
)

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
		}, "schemas", "all 1 fields of the cluster are known; Batchgate also knows 2 (io.k8s.api.batch.v1.JobSpec.parallelism"},
		"removed field, gate off": {func(c *fake.Cluster) {
			c.KubeAPIServer.Fields["io.k8s.api.core.v1.PodSpec"] = []string{"containers", "workloadRef"}
			c.KubeAPIServer.FeatureGates["GenericWorkload"] = false
		}, "schemas", "all 3 fields of the cluster are known; not used, since the feature gate is off: 1 (io.k8s.api.core.v1.PodSpec.workloadRef)"},
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
		}, "current server", "v1.batch is served by batchgate-system/other: if that is Batchgate, set --service and --service-namespace"},
		"missing Service": {func(c *fake.Cluster) {
			if err := c.KubeAPIServer.CoreV1().Services(fake.Service.Namespace).Delete(t.Context(), fake.Service.Name, metav1.DeleteOptions{}); err != nil {
				t.Error(err)
			}
		}, "service", "install Batchgate first"},
		"no ready endpoint": {func(c *fake.Cluster) {
			if err := c.KubeAPIServer.DiscoveryV1().EndpointSlices(fake.Service.Namespace).Delete(t.Context(), "batchgate", metav1.DeleteOptions{}); err != nil {
				t.Error(err)
			}
		}, "service", "has no ready endpoint: see kubectl -n batchgate-system describe pods"},
		"server down":              {func(c *fake.Cluster) { c.Batchgate.Down = true }, "server", "connection refused"},
		"server down, later check": {func(c *fake.Cluster) { c.Batchgate.Down = true }, "canary", "could not be reached"},
		"server not ready":         {func(c *fake.Cluster) { c.Batchgate.Ready = false }, "server", "see the log of its Pod"},
		"expiring certificate":     {func(c *fake.Cluster) { c.Certificate.NotAfter = time.Now().Add(time.Hour) }, "server", "renew it, for example with kubectl batchgate certificates"},
		"other minor version":      {func(c *fake.Cluster) { c.Batchgate.SetVersion("v1.36.0") }, "versions", "install the Batchgate release for Kubernetes 1.37"},
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
		}, "schemas", "does not know 1 (io.k8s.api.core.v1.PodSpec.containers) of the fields that kube-apiserver knows"},
		"removed field, gate on": {func(c *fake.Cluster) {
			c.KubeAPIServer.Fields["io.k8s.api.core.v1.PodSpec"] = []string{"containers", "workloadRef"}
			c.KubeAPIServer.Fields["io.k8s.api.core.v1.WorkloadReference"] = []string{"name"}
			c.KubeAPIServer.FeatureGates["GenericWorkload"], c.Batchgate.FeatureGates["GenericWorkload"] = true, false
		}, "schemas", "does not know 2 (io.k8s.api.core.v1.PodSpec.workloadRef, io.k8s.api.core.v1.WorkloadReference.name) of the fields that kube-apiserver knows, and would drop them: turn off the feature gate GenericWorkload"},
		"removed field, gates not readable": {func(c *fake.Cluster) {
			c.KubeAPIServer.Fields["io.k8s.api.core.v1.PodSpec"] = []string{"containers", "workloadRef"}
			c.KubeAPIServer.MetricsForbidden = true
		}, "schemas", "this is safe only if the feature gate GenericWorkload of kube-apiserver is off"},
		"removed field beside an unknown one": {func(c *fake.Cluster) {
			c.KubeAPIServer.Fields["io.k8s.api.core.v1.PodSpec"] = []string{"containers", "new", "workloadRef"}
			c.KubeAPIServer.FeatureGates["GenericWorkload"] = true
		}, "schemas", "install the Batchgate release for the Kubernetes version of the cluster"},
		"removed field of a Job": {func(c *fake.Cluster) {
			c.KubeAPIServer.Fields["io.k8s.api.core.v1.PodSpec"] = []string{"containers", "workloadRef"}
			c.KubeAPIServer.FeatureGates["GenericWorkload"] = false
			c.KubeAPIServer.Change = func(path string, body []byte) []byte {
				if path != "/apis/batch/v1/jobs" {
					return body
				}
				return setInItems(t, body, map[string]any{"name": "w"}, "spec", "template", "spec", "workloadRef")
			}
		}, "schemas", "1 (jobs default/pi) have such a field: recreate them without it"},
		"removed field of a CronJob": {func(c *fake.Cluster) {
			c.KubeAPIServer.Fields["io.k8s.api.core.v1.PodSpec"] = []string{"containers", "workloadRef"}
			c.KubeAPIServer.FeatureGates["GenericWorkload"] = false
			c.KubeAPIServer.Change = func(path string, body []byte) []byte {
				if path != "/apis/batch/v1/cronjobs" {
					return body
				}
				return []byte(`{"metadata":{},"items":[{"metadata":{"namespace":"default","name":"nightly"},"spec":{"jobTemplate":{"spec":{"template":{"spec":{"workloadRef":{"name":"w"}}}}}}}]}`)
			}
		}, "schemas", "1 (cronjobs default/nightly) have such a field"},
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

func TestTakeover_SingleKubeAPIServer(t *testing.T) {
	c := newCluster(t)
	if err := c.KubeAPIServer.Tracker().Add(&discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kubernetes", Labels: map[string]string{discoveryv1.LabelServiceName: "kubernetes"}},
		Endpoints:  []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.1"}}},
		Ports:      []discoveryv1.EndpointPort{{Port: ptr.To[int32](6443)}},
	}); err != nil {
		t.Fatal(err)
	}
	r := &recorder{}
	if err := takeOver(t, c, r); err != nil {
		t.Fatal(err)
	}
	if got := r.result("service").Detail; !strings.HasPrefix(got, "1 ready; only one kube-apiserver was found, 10.0.0.1:6443: ") {
		t.Errorf("service: %q", got)
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

// The second of two replicas has other flags than the first one, for example during an update.
func TestTakeover_ReplicasDiffer(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare func(second *fake.Cluster)
		want    string
	}{
		"none":              {func(*fake.Cluster) {}, ""},
		"other etcd prefix": {func(c *fake.Cluster) { c.Batchgate.Storage = c.KubeAPIServer.Storage.(*fake.Memory).OtherPrefix() }, "replica 2 of 2: objects: "},
		"other feature gate": {func(c *fake.Cluster) {
			c.Batchgate.FeatureGates = map[string]bool{"JobManagedBy": false}
		}, "replica 2 of 2: feature gates: "},
		"not ready": {func(c *fake.Cluster) { c.Batchgate.Ready = false }, "replica 2 of 2: server: "},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			second := fake.New(c.KubeAPIServer.Storage, c.KubeAPIServer.Storage)
			tc.prepare(second)
			b := c.Connection()
			b.DialAll = func(context.Context) ([]*cluster.Direct, func(), error) {
				return []*cluster.Direct{{Server: c.Batchgate, Certificate: c.Certificate}, {Server: second.Batchgate, Certificate: c.Certificate}}, func() {}, nil
			}
			r := &recorder{}
			o := takeover.Takeover{Cluster: c.Cluster, Batchgate: b, Report: r.report}
			err := o.Run(t.Context())
			got := r.result("replicas")
			if tc.want == "" {
				if err != nil || got.Detail != "all 2 ready ones have passed these checks" {
					t.Errorf("unexpected error or result: %v, %+v", err, got)
				}
				return
			}
			if !errors.Is(err, steps.ErrNothingChanged) || !strings.Contains(got.Error, tc.want) {
				t.Errorf("unexpected error or result: %v, %+v, want %q", err, got, tc.want)
			}
			checkNative(t, c)
			checkNoCanary(t, c)
		})
	}
}

// setInItems sets a field of each item of a list.
func setInItems(t *testing.T, list []byte, value any, path ...string) []byte {
	t.Helper()
	var object map[string]any
	if err := json.Unmarshal(list, &object); err != nil {
		t.Fatal(err)
	}
	for _, item := range object["items"].([]any) {
		if err := unstructured.SetNestedField(item.(map[string]any), value, path...); err != nil {
			t.Fatal(err)
		}
	}
	changed, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	return changed
}
