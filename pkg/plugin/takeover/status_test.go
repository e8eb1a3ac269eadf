// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package takeover_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/pkg/apis/policy"
	"github.com/batchgate/batchgate/pkg/apis/policy/v1alpha1"
	"github.com/batchgate/batchgate/pkg/plugin/cluster"
	"github.com/batchgate/batchgate/pkg/plugin/cluster/fake"
	"github.com/batchgate/batchgate/pkg/plugin/takeover"
)

func TestReadStatus(t *testing.T) {
	for name, tc := range map[string]struct {
		prepare  func(*testing.T, *fake.Cluster)
		topology string
		problems []string // parts, in this order
	}{
		"kube-apiserver":                 {prepare: func(*testing.T, *fake.Cluster) {}},
		"kube-apiserver, Batchgate down": {prepare: func(_ *testing.T, c *fake.Cluster) { c.Batchgate.Down = true }},
		"taken over":                     {prepare: takenOver(""), topology: "the etcd that kube-apiserver uses"},
		"taken over, Batchgate down": {
			prepare:  func(t *testing.T, c *fake.Cluster) { takenOver("")(t, c); c.Batchgate.Down = true },
			topology: "the etcd that kube-apiserver uses",
			problems: []string{"v1.batch is not available", "batch/v1 is stale in discovery", "Batchgate is not ready, or could not be reached"},
		},
		"blocked": {
			prepare: func(t *testing.T, c *fake.Cluster) {
				blocked(t, c)
				kubernetes := &discoveryv1.EndpointSlice{
					ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kubernetes", Labels: map[string]string{discoveryv1.LabelServiceName: "kubernetes"}},
					Endpoints:  []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.1"}}},
				}
				if _, err := c.KubeAPIServer.DiscoveryV1().EndpointSlices("default").Create(t.Context(), kubernetes, metav1.CreateOptions{}); err != nil {
					t.Fatal(err)
				}
			},
			topology: "the etcd that kube-apiserver uses",
			problems: []string{
				"it waits for v1.batch, and Batchgate cannot start before it is: run kubectl batchgate unblock",
			},
		},
		"blocked, no endpoints of kube-apiserver": {
			prepare:  blocked,
			topology: "the etcd that kube-apiserver uses",
			problems: []string{
				"the Service default/kubernetes has no endpoints: run kubectl batchgate unblock",
			},
		},
		"taken over, other minor version": {
			prepare:  func(t *testing.T, c *fake.Cluster) { takenOver("")(t, c); c.Batchgate.SetVersion("v1.36.1") },
			topology: "the etcd that kube-apiserver uses",
			problems: []string{"the cluster is Kubernetes 1.37 and Batchgate emulates 1.36: install the Batchgate release for Kubernetes 1.37"},
		},
		"taken over, policy not ready": {
			prepare:  func(t *testing.T, c *fake.Cluster) { takenOver("")(t, c); createPolicies(t, c) },
			topology: "the etcd that kube-apiserver uses",
			problems: []string{"not all policies are active"},
		},
		"one kube-apiserver does not proxy": {
			prepare: func(t *testing.T, c *fake.Cluster) {
				outdated := c.Outdated()
				takenOver("")(t, c)
				setKubeAPIServers(t, c, func() cluster.Server { return outdated }, nil)
			},
			topology: "the etcd that kube-apiserver uses",
			problems: []string{"these kube-apiservers serve Jobs themselves, without Batchgate: 10.0.0.2:6443"},
		},
		"one kube-apiserver still proxies": {
			prepare: func(t *testing.T, c *fake.Cluster) {
				takenOver("")(t, c)
				outdated := c.Outdated()
				if err := rollBack(t, c, &recorder{}); err != nil {
					t.Fatal(err)
				}
				setKubeAPIServers(t, c, func() cluster.Server { return outdated }, nil)
			},
			problems: []string{"these kube-apiservers still proxy requests for Jobs to Batchgate: 10.0.0.2:6443"},
		},
		"stale discovery after rollback": {
			prepare: func(t *testing.T, c *fake.Cluster) {
				takenOver("")(t, c)
				a, err := c.BatchAPIService(t.Context())
				if err == nil {
					err = c.RollBack(t.Context(), a)
				}
				if err != nil {
					t.Fatal(err)
				}
				c.Batchgate.Down = true
			},
			problems: []string{"kube-apiserver still reads the discovery of Batchgate: run kubectl batchgate rollback"},
		},
		"dedicated etcd": {
			prepare: func(t *testing.T, c *fake.Cluster) {
				takenOver(policy.EtcdDedicated)(t, c)
				bind(t, c, cluster.Guard)
			},
			topology: "the dedicated etcd",
		},
		"dedicated etcd without guard": {
			prepare:  takenOver(policy.EtcdDedicated),
			topology: "the dedicated etcd",
			problems: []string{"the guard is missing"},
		},
		"dedicated etcd, guard edited": {
			prepare: func(t *testing.T, c *fake.Cluster) {
				takenOver(policy.EtcdDedicated)(t, c)
				edited := cluster.Guard
				edited.EnforcedBy = "nobody"
				bind(t, c, edited)
			},
			topology: "the dedicated etcd",
			problems: []string{"the guard was edited"},
		},
		"dedicated etcd, guard unreadable": {
			prepare: func(t *testing.T, c *fake.Cluster) {
				takenOver(policy.EtcdDedicated)(t, c)
				c.Before = func(request string) error {
					if strings.Contains(request, "validatingadmissionpolicybindings") {
						return apierrors.NewForbidden(admissionv1.Resource("validatingadmissionpolicybindings"), policy.GuardName, errors.New("denied"))
					}
					return nil
				}
			},
			topology: "the dedicated etcd",
		},
		"importing": {
			prepare: func(t *testing.T, c *fake.Cluster) {
				takenOver(policy.EtcdImporting)(t, c)
				bind(t, c, cluster.Guard)
				bind(t, c, cluster.Freeze)
			},
			topology: "both etcds, because an import is not finished",
			problems: []string{"unfinished import or rollback denies writes", "an import is not finished"},
		},
		"import killed before unfreeze": {
			prepare: func(t *testing.T, c *fake.Cluster) {
				takenOver(policy.EtcdDedicated)(t, c)
				bind(t, c, cluster.Guard)
				bind(t, c, cluster.Freeze)
			},
			topology: "the dedicated etcd",
			problems: []string{"denies writes of Jobs: if none is running, run kubectl batchgate import --etcd-servers=<etcd of Batchgate> --resume"},
		},
		"import killed before takeover": {
			prepare: func(t *testing.T, c *fake.Cluster) {
				bind(t, c, cluster.Guard)
				bind(t, c, cluster.Freeze)
			},
			problems: []string{"denies writes of Jobs: if none is running, run kubectl batchgate rollback --resume"},
		},
		"rolled back by hand": {
			prepare:  func(t *testing.T, c *fake.Cluster) { bind(t, c, cluster.Guard) },
			problems: []string{"kube-apiserver shows outdated ones: run kubectl batchgate import --etcd-servers=<etcd of Batchgate>"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			tc.prepare(t, c)
			status, err := takeover.ReadStatus(t.Context(), c.Cluster, c.Connection())
			if err != nil {
				t.Fatal(err)
			}
			if status.Topology != tc.topology || status.ClusterVersion != "v1.37.2" || status.Endpoints != 1 || status.EndpointsReady != 1 {
				t.Errorf("unexpected status: %+v", status)
			}
			problems := status.Problems()
			if !slices.EqualFunc(problems, tc.problems, strings.Contains) {
				t.Errorf("got problems %q, want %q", problems, tc.problems)
			}
		})
	}
}

func bind(t *testing.T, c *fake.Cluster, d cluster.Denial) {
	t.Helper()
	p, binding := d.Objects()
	client := c.KubeAPIServer.AdmissionregistrationV1()
	if _, err := client.ValidatingAdmissionPolicies().Create(t.Context(), p, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.ValidatingAdmissionPolicyBindings().Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func createPolicies(t *testing.T, c *fake.Cluster) {
	t.Helper()
	for name, status := range map[string]metav1.ConditionStatus{"ready": metav1.ConditionTrue, "broken": metav1.ConditionFalse} {
		p := &v1alpha1.JobUpdatePolicy{ObjectMeta: metav1.ObjectMeta{Name: name}}
		p.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: status}}
		if _, err := c.PolicyClient.PolicyV1alpha1().JobUpdatePolicies().Create(t.Context(), p, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReadStatus_MissingAPIService(t *testing.T) {
	c := newCluster(t)
	deleteAPIService(t, c)
	if _, err := takeover.ReadStatus(t.Context(), c.Cluster, c.Connection()); err == nil || !strings.Contains(err.Error(), "kubectl batchgate rollback recreates it") {
		t.Errorf("unexpected error: %v", err)
	}
}
