// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package core

import (
	"os"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	schedulingv1alpha3 "k8s.io/api/scheduling/v1alpha3"

	"github.com/batchgate/batchgate/test/e2e/internal/session"
	"github.com/batchgate/batchgate/test/framework"
)

// startCluster starts a control plane for one test, with Batchgate installed.
func startCluster(t *testing.T, options framework.ClusterOptions) *framework.Cluster {
	t.Helper()
	cluster, err := framework.StartTestCluster(t, binaries, options)
	if err != nil {
		t.Fatal(err)
	}
	if err := cluster.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
	return cluster
}

// gang schedules the Pods of a Job as a gang. If minCount is nil, the size of the gang is parallelism.
func gang(minCount *int32) func(*batchv1.JobSpec) {
	return func(spec *batchv1.JobSpec) {
		spec.Scheduling = &batchv1.JobSchedulingConfiguration{
			SchedulingPolicy: &schedulingv1alpha3.WorkloadPodGroupSchedulingPolicy{
				Gang: &schedulingv1alpha3.WorkloadPodGroupGangSchedulingPolicy{MinCount: minCount},
			},
		}
	}
}

// unschedulable keeps the Pods of a Job pending until the test labels a node.
func unschedulable(spec *batchv1.JobSpec) {
	spec.Template.Spec.NodeSelector = map[string]string{"pool": "late"}
}

// Gang scheduling is off by default in Kubernetes. The scheduler places no Pod of a gang until as many
// Pods exist as the gang's size, so Batchgate rejects changes that would leave fewer.
func TestGangJobCompletionsFollowParallelism(t *testing.T) {
	if version := os.Getenv(framework.KubernetesVariable); version != "" {
		t.Skipf("Kubernetes %s does not serve scheduling.k8s.io/v1beta1", version)
	}
	t.Parallel()
	cluster := startCluster(t, framework.ClusterOptions{FeatureGates: "GenericWorkload=true,WorkloadWithJob=true", RuntimeConfig: "scheduling.k8s.io/v1beta1=true"})
	const inTandem = "spec.completions: Forbidden: must equal parallelism for a Job that is scheduled as a gang"
	for name, tc := range map[string]struct {
		changes   []func(*batchv1.JobSpec)
		patch     string
		wantError string
		succeeded int32
	}{
		"Indexed scaled up":              {[]func(*batchv1.JobSpec){indexed(3, 3), gang(nil)}, `{"completions": 5, "parallelism": 5}`, "", 5},
		"Indexed scaled down":            {[]func(*batchv1.JobSpec){indexed(3, 3), gang(nil)}, `{"completions": 2, "parallelism": 2}`, "", 2},
		"pending Indexed scaled down":    {[]func(*batchv1.JobSpec){indexed(3, 3), gang(nil), unschedulable}, `{"completions": 2, "parallelism": 2}`, "", 2},
		"Indexed completions alone":      {[]func(*batchv1.JobSpec){indexed(3, 3), gang(nil)}, `{"completions": 5}`, inTandem, 3},
		"NonIndexed scaled up":           {[]func(*batchv1.JobSpec){nonIndexed(3, n(3)), gang(nil)}, `{"completions": 5, "parallelism": 5}`, "", 5},
		"pending NonIndexed scaled down": {[]func(*batchv1.JobSpec){nonIndexed(3, n(3)), gang(nil), unschedulable}, `{"completions": 2, "parallelism": 2}`, "", 2},
		"NonIndexed completions alone":   {[]func(*batchv1.JobSpec){nonIndexed(3, n(3)), gang(nil), unschedulable}, `{"completions": 2}`, inTandem, 3},
		"gang of one":                    {[]func(*batchv1.JobSpec){nonIndexed(3, n(3)), gang(n(1))}, `{"completions": 7}`, "", 7},
		"parallelism below minCount":     {[]func(*batchv1.JobSpec){nonIndexed(3, n(3)), gang(n(3))}, `{"completions": 2, "parallelism": 2}`, "minCount: Invalid value: 3: must not be greater than parallelism (2)", 3},
	} {
		t.Run(name, func(t *testing.T) {
			s := session.New(t, cluster)
			s.CreateJob(session.NewJob("pi", func(job *batchv1.Job) {
				for _, change := range tc.changes {
					change(&job.Spec)
				}
			}))
			phase := corev1.PodRunning
			if s.Job("pi").Spec.Template.Spec.NodeSelector != nil {
				phase = corev1.PodPending
			}
			s.WaitPods("pi", 3, phase)
			patch := []string{"patch", "job", "pi", "--type=merge", `--patch={"spec": ` + tc.patch + `}`}
			if tc.wantError != "" {
				s.ExpectError(patch, tc.wantError)
			} else {
				s.Run(patch...)
			}
			s.Run("label", "node", "fake-1", "pool=late")
			s.FinishJob("pi", batchv1.JobComplete)
			s.Run("label", "node", "fake-1", "pool-")
			if status := s.Job("pi").Status; status.Succeeded != tc.succeeded {
				t.Errorf("status is %+v, want %d succeeded", status, tc.succeeded)
			}
		})
	}
}
