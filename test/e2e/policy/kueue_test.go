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

// kueue does what Kueue's pkg/controller/jobs/job/job_controller.go does with Jobs.
type kueue struct{ tool }

// flavor is what an admission adds to the Pods of a Job.
type flavor struct {
	labels, annotations, nodeSelector map[string]string
	tolerations                       []corev1.Toleration
	gates                             []corev1.PodSchedulingGate
}

// start is RunWithPodSetsInfo, which goes into one patch.
func (k kueue) start(job string, f flavor) error {
	return k.patch(job, func(j *batchv1.Job) {
		j.Spec.Suspend = new(false)
		merge(&j.Spec.Template, f)
	})
}

const stopping = "kueue.x-k8s.io/stopping"

// stop is Stop: it suspends, makes the Job one that has not started, for whose template
// upstream has no objections, and gives the template back what it was. It may be
// interrupted after each step, and then starts over.
func (k kueue) stop(job string, template corev1.PodTemplateSpec) error {
	now := k.Job(job)
	if !ptr.Deref(now.Spec.Suspend, false) {
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
	if now.Status.StartTime != nil {
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

// merge adds a flavor to a template.
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

// onANode selects one of the fake nodes.
var onANode = map[string]string{corev1.LabelHostname: "fake-1"}

func TestKueueStartsAndStopsJobsByItsExample(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	policy := readExample(t, "kueue")
	k := kueue{newTool(s, policy)}
	s.CreateJob(session.NewJob("pi", suspended))
	original := s.Job("pi").Spec.Template
	spot := flavor{
		labels:       map[string]string{"kueue.x-k8s.io/podset": "main"},
		annotations:  map[string]string{"kueue.x-k8s.io/workload": "job-pi"},
		nodeSelector: onANode,
		tolerations:  []corev1.Toleration{{Key: "spot", Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}},
	}
	topology := flavor{
		labels: map[string]string{"kueue.x-k8s.io/tas": "true"},
		gates:  []corev1.PodSchedulingGate{{Name: "kueue.x-k8s.io/topology"}},
	}
	refusesWrite(s, k.start("pi", spot), "spec.suspend", "spec.template.spec.nodeSelector", "spec.template.spec.tolerations",
		`spec.template.metadata.labels["kueue.x-k8s.io/podset"]`, `spec.template.metadata.annotations["kueue.x-k8s.io/workload"]`)
	applyExample(s, policy)

	for _, f := range []flavor{spot, topology, spot} {
		allowsWrite(s, func() error { return k.start("pi", f) })
		started := s.Job("pi")
		want := original.DeepCopy()
		merge(want, f)
		if diff := cmp.Diff(*want, started.Spec.Template); diff != "" {
			t.Errorf("the template of the started Job is another one: %s", diff)
		}
		if len(f.gates) == 0 {
			s.WaitRunning("pi", 1)
			if pod := s.Pods("pi")[0]; pod.Spec.NodeSelector[corev1.LabelHostname] != "fake-1" || pod.Labels["kueue.x-k8s.io/podset"] != "main" {
				t.Errorf("the Pod is not of the flavor: %+v", pod)
			}
		}
		allowsWrite(s, func() error { return k.stop("pi", original) })
		stopped := s.Job("pi")
		if diff := cmp.Diff(original, stopped.Spec.Template); diff != "" {
			t.Errorf("the template of the stopped Job is not the original: %s", diff)
		}
		if _, left := stopped.Annotations[stopping]; left || !*stopped.Spec.Suspend {
			t.Errorf("the Job is not stopped: annotations %v, suspend %t", stopped.Annotations, *stopped.Spec.Suspend)
		}
	}

	// The example is for what Kueue does, and for Kueue.
	refusesWrite(s, k.patch("pi", func(j *batchv1.Job) { j.Spec.Template.Spec.Containers[0].Image = "example.com/other" }),
		`spec.template.spec.containers[name="main"].image`)
	refusesWrite(s, k.patch("pi", func(j *batchv1.Job) { j.Annotations = map[string]string{"other": ""} }), `metadata.annotations["other"]`)
	s.ExpectDenied(session.MergePatch("pi", `{"spec": {"suspend": false}}`), "spec.suspend")

	allowsWrite(s, func() error { return k.start("pi", spot) })
	s.FinishJob("pi", batchv1.JobComplete)
}
