// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package takeover_test

import (
	"slices"
	"testing"
	"time"

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
