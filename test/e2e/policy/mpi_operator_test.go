// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/test/e2e/internal/session"
)

// mpiOperator changes Jobs as MPI Operator's pkg/controller/mpi_job_controller.go does.
type mpiOperator struct{ tool }

// resume clears the start time, sets what syncLauncherSchedulingDirectives sets, and resumes the Job.
func (c mpiOperator) resume(job string, template flavor) error {
	if c.Job(job).Status.StartTime != nil {
		if err := c.putStatus(job, func(j *batchv1.Job) { j.Status.StartTime = nil }); err != nil {
			return err
		}
	}
	return c.put(job, func(j *batchv1.Job) {
		syncDirectives(&j.Spec.Template, template)
		j.Spec.Suspend = new(false)
	})
}

// syncDirectives merges the maps of the metadata and replaces the scheduling fields.
func syncDirectives(template *corev1.PodTemplateSpec, f flavor) {
	template.Labels = union(template.Labels, f.labels)
	template.Annotations = union(template.Annotations, f.annotations)
	template.Spec.NodeSelector = f.nodeSelector
	template.Spec.Tolerations = f.tolerations
	template.Spec.SchedulingGates = f.gates
}

func (c mpiOperator) suspend(job string) error { return c.put(job, suspended) }

func TestExampleMPIOperatorAllowsSuspendAndResume(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	policy := readExample(t, "mpi-operator")
	account := policy.spec.Subjects[0]
	// MPI Operator 0.8.0 has no permission for jobs/status. The Job controller clears the start time too. The
	// test needs get in addition, since it has no cache.
	s.Run("create", "role", "mpi-operator", "--resource=jobs", "--verb=create,list,update,watch,get")
	s.Run("create", "rolebinding", "mpi-operator", "--role=mpi-operator", "--serviceaccount="+account.Namespace+":"+account.Name)
	c := mpiOperator{asServiceAccount(s, account)}
	const launcher = "train-launcher"
	s.CreateJob(session.NewJob(launcher, suspended, labels(map[string]string{"app": "train"})))
	first := flavor{
		labels:       map[string]string{"training.kubeflow.org/job-role": "launcher", "kueue.x-k8s.io/podset": "launcher"},
		annotations:  map[string]string{"kueue.x-k8s.io/workload": "mpijob-train"},
		nodeSelector: nodeSelector,
		tolerations:  []corev1.Toleration{{Key: "spot", Operator: corev1.TolerationOpExists}},
	}
	second := flavor{annotations: map[string]string{"kueue.x-k8s.io/workload": "again"}, gates: []corev1.PodSchedulingGate{{Name: "kueue.x-k8s.io/topology"}}}
	s.Eventually("have the resumption denied", func() error {
		return session.CheckDenied(c.resume(launcher, first), "spec.suspend", "spec.template.spec.nodeSelector", "spec.template.spec.tolerations",
			`spec.template.metadata.labels["kueue.x-k8s.io/podset"]`, `spec.template.metadata.annotations["kueue.x-k8s.io/workload"]`)
	})
	applyExample(s, policy)

	want := s.Job(launcher).Spec.Template
	retryWrite(s, func() error { return c.resume(launcher, first) })
	s.WaitRunning(launcher, 1)
	syncDirectives(&want, first)
	if diff := cmp.Diff(want, s.Job(launcher).Spec.Template); diff != "" {
		t.Errorf("template of the resumed Job differs (-want +got):\n%s", diff)
	}
	retryWrite(s, func() error { return c.suspend(launcher) })
	s.WaitRunning(launcher, 0)

	retryWrite(s, func() error { return c.resume(launcher, second) })
	syncDirectives(&want, second)
	if diff := cmp.Diff(want, s.Job(launcher).Spec.Template); diff != "" {
		t.Errorf("template of the Job resumed again differs (-want +got):\n%s", diff)
	}

	expectDenied(s, c.put(launcher, func(j *batchv1.Job) { j.Spec.BackoffLimit = ptr.To[int32](1) }), "spec.backoffLimit")
	s.ExpectDenied(session.MergePatch(launcher, `{"spec": {"suspend": true}}`), "spec.suspend")
}
