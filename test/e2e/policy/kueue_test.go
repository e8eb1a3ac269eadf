// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"maps"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/test/e2e/internal/session"
)

// kueue changes Jobs as Kueue's pkg/controller/jobs/job/job_controller.go does.
type kueue struct{ tool }

// flavor is what Kueue adds to the Pod template when it admits a Job.
type flavor struct {
	labels, annotations, nodeSelector map[string]string
	tolerations                       []corev1.Toleration
	gates                             []corev1.PodSchedulingGate
}

// start does what RunWithPodSetsInfo does, in one patch.
func (k kueue) start(job string, f flavor) error {
	return k.patch(job, func(j *batchv1.Job) {
		j.Spec.Suspend = new(false)
		merge(&j.Spec.Template, f)
	})
}

const stopping = "kueue.x-k8s.io/stopping"

// stop does what Stop does: it suspends the Job, clears its start time, because Kubernetes allows
// template changes only for Jobs that have not started, and restores the template. If a step fails,
// the caller starts over.
func (k kueue) stop(job string, template corev1.PodTemplateSpec) error {
	current := k.Job(job)
	if !ptr.Deref(current.Spec.Suspend, false) {
		err := k.patch(job, func(j *batchv1.Job) {
			j.Spec.Suspend = new(true)
			if j.Annotations == nil {
				j.Annotations = map[string]string{}
			}
			j.Annotations[stopping] = "true"
		})
		if err != nil {
			return err
		}
	}
	if current.Status.StartTime != nil {
		if err := k.patch(job, func(j *batchv1.Job) { j.Status.StartTime = nil }, "status"); err != nil {
			return err
		}
	}
	return k.patch(job, func(j *batchv1.Job) {
		delete(j.Annotations, stopping)
		j.Spec.Template.Labels = template.Labels
		j.Spec.Template.Annotations = template.Annotations
		j.Spec.Template.Spec.NodeSelector = template.Spec.NodeSelector
		j.Spec.Template.Spec.Tolerations = template.Spec.Tolerations
		j.Spec.Template.Spec.SchedulingGates = template.Spec.SchedulingGates
	})
}

func merge(template *corev1.PodTemplateSpec, f flavor) {
	template.Labels = union(template.Labels, f.labels)
	template.Annotations = union(template.Annotations, f.annotations)
	template.Spec.NodeSelector = union(template.Spec.NodeSelector, f.nodeSelector)
	template.Spec.Tolerations = append(template.Spec.Tolerations, f.tolerations...)
	template.Spec.SchedulingGates = append(template.Spec.SchedulingGates, f.gates...)
}

func union(a, b map[string]string) map[string]string {
	if len(a) == 0 {
		return b
	}
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

func suspended(j *batchv1.Job) { j.Spec.Suspend = new(true) }

var nodeSelector = map[string]string{corev1.LabelHostname: "fake-1"}

func TestExampleKueueAllowsStartAndStop(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	policy := readExample(t, "kueue")
	k := kueue{newTool(s, policy)}
	s.CreateJob(session.NewJob("pi", suspended))
	original := s.Job("pi").Spec.Template
	spot := flavor{
		labels:       map[string]string{"kueue.x-k8s.io/podset": "main"},
		annotations:  map[string]string{"kueue.x-k8s.io/workload": "job-pi"},
		nodeSelector: nodeSelector,
		tolerations:  []corev1.Toleration{{Key: "spot", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}},
	}
	topology := flavor{
		labels: map[string]string{"kueue.x-k8s.io/tas": "true"},
		gates:  []corev1.PodSchedulingGate{{Name: "kueue.x-k8s.io/topology"}},
	}
	expectDenied(s, k.start("pi", spot), "spec.suspend", "spec.template.spec.nodeSelector", "spec.template.spec.tolerations",
		`spec.template.metadata.labels["kueue.x-k8s.io/podset"]`, `spec.template.metadata.annotations["kueue.x-k8s.io/workload"]`)
	applyExample(s, policy)

	for _, f := range []flavor{spot, topology, spot} {
		retryWrite(s, func() error { return k.start("pi", f) })
		started := s.Job("pi")
		want := original.DeepCopy()
		merge(want, f)
		if diff := cmp.Diff(*want, started.Spec.Template); diff != "" {
			t.Errorf("template of the started Job differs (-want +got):\n%s", diff)
		}
		if len(f.gates) == 0 {
			s.WaitRunning("pi", 1)
			if pod := s.Pods("pi")[0]; pod.Spec.NodeSelector[corev1.LabelHostname] != "fake-1" || pod.Labels["kueue.x-k8s.io/podset"] != "main" {
				t.Errorf("Pod does not have the flavor: %+v", pod)
			}
		}
		retryWrite(s, func() error { return k.stop("pi", original) })
		stopped := s.Job("pi")
		if diff := cmp.Diff(original, stopped.Spec.Template); diff != "" {
			t.Errorf("template of the stopped Job differs from the original (-want +got):\n%s", diff)
		}
		if _, left := stopped.Annotations[stopping]; left || !*stopped.Spec.Suspend {
			t.Errorf("Job is not stopped: annotations %v, suspend %t", stopped.Annotations, *stopped.Spec.Suspend)
		}
	}

	// The example grants only the changes that Kueue makes, and only to Kueue.
	expectDenied(s, k.patch("pi", func(j *batchv1.Job) { j.Spec.Template.Spec.Containers[0].Image = "example.com/other" }),
		`spec.template.spec.containers[name="main"].image`)
	expectDenied(s, k.patch("pi", func(j *batchv1.Job) { j.Annotations = map[string]string{"other": ""} }), `metadata.annotations["other"]`)
	s.ExpectDenied(session.MergePatch("pi", `{"spec": {"suspend": false}}`), "spec.suspend")

	retryWrite(s, func() error { return k.start("pi", spot) })
	s.FinishJob("pi", batchv1.JobComplete)
}
