package core

import (
	"fmt"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	schedulingv1alpha3 "k8s.io/api/scheduling/v1alpha3"

	"github.com/batchgate/batchgate/test/framework"
)

// withFeatures lets the test use a cluster of its own in place of the one of all tests. It is
// for tests that do not run in parallel.
func withFeatures(t *testing.T, features framework.Features) {
	t.Helper()
	own, err := framework.StartTestCluster(t, binaries, features)
	if err != nil {
		t.Fatal(err)
	}
	all := cluster
	cluster = own
	t.Cleanup(func() { cluster = all })
	if err := own.Install(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// gang makes the Pods of a Job one gang, of minCount Pods or else as many as run in parallel.
func gang(minCount *int32) func(*batchv1.JobSpec) {
	return func(spec *batchv1.JobSpec) {
		spec.Scheduling = &batchv1.JobSchedulingConfiguration{
			SchedulingPolicy: &schedulingv1alpha3.WorkloadPodGroupSchedulingPolicy{
				Gang: &schedulingv1alpha3.WorkloadPodGroupGangSchedulingPolicy{MinCount: minCount},
			},
		}
	}
}

// pending keeps the Pods of a Job from being scheduled until the test lets a node have them.
func pending(spec *batchv1.JobSpec) {
	spec.Template.Spec.NodeSelector = map[string]string{"pool": "late"}
}

// Gang scheduling is off by default in Kubernetes. The scheduler places no Pod of a gang while
// fewer of them exist than the gang's size: what would leave fewer is refused.
func TestGangChangesItsCompletionsInTandemOnly(t *testing.T) {
	withFeatures(t, framework.Features{Gates: "GenericWorkload=true,WorkloadWithJob=true", APIs: "scheduling.k8s.io/v1beta1=true"})
	const refused = "spec.completions: Forbidden: must equal parallelism for a Job that is scheduled as a gang"
	for name, tc := range map[string]struct {
		make      []func(*batchv1.JobSpec)
		patch     string
		refused   string
		succeeded int32
	}{
		"Indexed, up":                  {[]func(*batchv1.JobSpec){indexed(3, 3), gang(nil)}, `{"completions": 5, "parallelism": 5}`, "", 5},
		"Indexed, down":                {[]func(*batchv1.JobSpec){indexed(3, 3), gang(nil)}, `{"completions": 2, "parallelism": 2}`, "", 2},
		"Indexed, pending, down":       {[]func(*batchv1.JobSpec){indexed(3, 3), gang(nil), pending}, `{"completions": 2, "parallelism": 2}`, "", 2},
		"Indexed, not in tandem":       {[]func(*batchv1.JobSpec){indexed(3, 3), gang(nil)}, `{"completions": 5}`, refused, 3},
		"NonIndexed, up":               {[]func(*batchv1.JobSpec){nonIndexed(3, n(3)), gang(nil)}, `{"completions": 5, "parallelism": 5}`, "", 5},
		"NonIndexed, pending, down":    {[]func(*batchv1.JobSpec){nonIndexed(3, n(3)), gang(nil), pending}, `{"completions": 2, "parallelism": 2}`, "", 2},
		"NonIndexed, not in tandem":    {[]func(*batchv1.JobSpec){nonIndexed(3, n(3)), gang(nil), pending}, `{"completions": 2}`, refused, 3},
		"a gang of one":                {[]func(*batchv1.JobSpec){nonIndexed(3, n(3)), gang(n(1))}, `{"completions": 7}`, "", 7},
		"parallelism below its number": {[]func(*batchv1.JobSpec){nonIndexed(3, n(3)), gang(n(3))}, `{"completions": 2, "parallelism": 2}`, "minCount: Invalid value: 3: must not be greater than parallelism (2)", 3},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSession(t)
			s.create(newJob("pi", func(job *batchv1.Job) {
				for _, change := range tc.make {
					change(&job.Spec)
				}
			}))
			s.waitScheduled("pi", 3, s.job("pi").Spec.Template.Spec.NodeSelector == nil)
			patch := []string{"patch", "job", "pi", "--type=merge", `--patch={"spec": ` + tc.patch + `}`}
			if tc.refused != "" {
				s.refused(patch, tc.refused)
			} else {
				s.run(patch...)
			}
			s.run("label", "node", "fake-1", "pool=late")
			s.finish("pi", batchv1.JobComplete)
			s.run("label", "node", "fake-1", "pool-")
			if status := s.job("pi").Status; status.Succeeded != tc.succeeded {
				t.Errorf("the status is %+v, want %d succeeded", status, tc.succeeded)
			}
		})
	}
}

// waitScheduled waits until there are n Pods of the Job that all run, or that all wait.
func (s session) waitScheduled(job string, n int, running bool) {
	s.t.Helper()
	want := corev1.PodPending
	if running {
		want = corev1.PodRunning
	}
	s.eventually(fmt.Sprintf("have %d %s Pods", n, want), func() error {
		count := 0
		for _, pod := range s.pods(job) {
			if pod.Status.Phase == want {
				count++
			}
		}
		if count != n {
			return fmt.Errorf("%d Pods of %s are %s", count, job, want)
		}
		return nil
	})
}
