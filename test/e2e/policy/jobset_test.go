// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/test/e2e/internal/session"
)

// jobset changes Jobs as JobSet's pkg/controllers/jobset_controller.go does.
type jobset struct{ tool }

// resume does what resumeJob does: it clears the start time, merges the Pod template of the JobSet and
// resumes the Job.
func (c jobset) resume(job string, template flavor) error {
	if c.Job(job).Status.StartTime != nil {
		if err := c.putStatus(job, func(j *batchv1.Job) { j.Status.StartTime = nil }); err != nil {
			return err
		}
	}
	return c.put(job, func(j *batchv1.Job) {
		merge(&j.Spec.Template, template)
		j.Spec.Suspend = new(false)
	})
}

// suspend does what suspendJobs does with each Job.
func (c jobset) suspend(job string) error {
	return c.put(job, suspended)
}

func TestExampleJobSetAllowsSuspendAndResume(t *testing.T) {
	t.Parallel()
	s := session.New(t, cluster)
	policy := readExample(t, "jobset")
	c := jobset{newTool(s, policy)}
	s.CreateJob(session.NewJob("set-workers-0", suspended, func(j *batchv1.Job) {
		j.Labels = map[string]string{"jobset.sigs.k8s.io/jobset-name": "set", "jobset.sigs.k8s.io/replicatedjob-name": "workers"}
	}))
	s.CreateJob(session.NewJob("other", suspended))
	first := flavor{
		labels:       map[string]string{"example.com/run": "1"},
		annotations:  map[string]string{"example.com/note": "first"},
		nodeSelector: nodeSelector,
		tolerations:  []corev1.Toleration{{Key: "spot", Operator: corev1.TolerationOpExists}},
	}
	second := flavor{labels: map[string]string{"example.com/run": "2"}, gates: []corev1.PodSchedulingGate{{Name: "example.com/wait"}}}
	expectDenied(s, c.resume("set-workers-0", first), "spec.suspend", "spec.template.spec.nodeSelector",
		"spec.template.spec.tolerations", `spec.template.metadata.labels["example.com/run"]`)
	applyExample(s, policy)

	want := s.Job("set-workers-0").Spec.Template
	retryWrite(s, func() error { return c.resume("set-workers-0", first) })
	s.WaitRunning("set-workers-0", 1)
	merge(&want, first)
	if diff := cmp.Diff(want, s.Job("set-workers-0").Spec.Template); diff != "" {
		t.Errorf("template of the resumed Job differs (-want +got):\n%s", diff)
	}

	retryWrite(s, func() error { return c.suspend("set-workers-0") })
	s.WaitRunning("set-workers-0", 0)
	retryWrite(s, func() error { return c.resume("set-workers-0", second) })
	merge(&want, second)
	if diff := cmp.Diff(want, s.Job("set-workers-0").Spec.Template); diff != "" {
		t.Errorf("template of the Job resumed again differs (-want +got):\n%s", diff)
	}

	// The example selects Jobs by the label of JobSet.
	expectDenied(s, c.resume("other", first), "spec.suspend")
	expectDenied(s, c.put("other", func(j *batchv1.Job) {
		j.Labels = map[string]string{"jobset.sigs.k8s.io/jobset-name": "set"}
		j.Spec.Suspend = new(false)
	}), "spec.suspend")
	expectDenied(s, c.put("set-workers-0", func(j *batchv1.Job) { j.Spec.BackoffLimit = ptr.To[int32](1) }), "spec.backoffLimit")

	// JobSet deletes the Jobs of a JobSet that restarts or ends.
	foreground := metav1.DeleteOptions{PropagationPolicy: ptr.To(metav1.DeletePropagationForeground)}
	if err := c.jobs.Delete(t.Context(), "set-workers-0", foreground); err != nil {
		t.Fatal(err)
	}
	s.Eventually("have the Job and its Pods removed", func() error { return s.JobAndPodsGone("set-workers-0") })
}
