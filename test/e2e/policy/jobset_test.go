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

// jobset does what JobSet's pkg/controllers/jobset_controller.go does with the Jobs of a set.
type jobset struct{ tool }

// resume is resumeJob: the Job becomes one that has not started, and then gets what its
// template in the set says by now.
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

// suspend is what suspendJobs does with each Job.
func (c jobset) suspend(job string) error {
	return c.put(job, suspended)
}

func TestJobSetSuspendsAndResumesItsJobsByItsExample(t *testing.T) {
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
		nodeSelector: onANode,
		tolerations:  []corev1.Toleration{{Key: "spot", Operator: corev1.TolerationOpExists}},
	}
	second := flavor{labels: map[string]string{"example.com/run": "2"}, gates: []corev1.PodSchedulingGate{{Name: "example.com/wait"}}}
	refusesWrite(s, c.resume("set-workers-0", first), "spec.suspend", "spec.template.spec.nodeSelector",
		"spec.template.spec.tolerations", `spec.template.metadata.labels["example.com/run"]`)
	applyExample(s, policy)

	want := s.Job("set-workers-0").Spec.Template
	allowsWrite(s, func() error { return c.resume("set-workers-0", first) })
	s.WaitRunning("set-workers-0", 1)
	merge(&want, first)
	if diff := cmp.Diff(want, s.Job("set-workers-0").Spec.Template); diff != "" {
		t.Errorf("the template of the resumed Job is another one: %s", diff)
	}

	allowsWrite(s, func() error { return c.suspend("set-workers-0") })
	s.WaitRunning("set-workers-0", 0)
	allowsWrite(s, func() error { return c.resume("set-workers-0", second) })
	merge(&want, second)
	if diff := cmp.Diff(want, s.Job("set-workers-0").Spec.Template); diff != "" {
		t.Errorf("the template of the Job that is resumed again is another one: %s", diff)
	}

	// The example is for Jobs of sets, which the set's label tells.
	refusesWrite(s, c.resume("other", first), "spec.suspend")
	refusesWrite(s, c.put("other", func(j *batchv1.Job) {
		j.Labels = map[string]string{"jobset.sigs.k8s.io/jobset-name": "set"}
		j.Spec.Suspend = new(false)
	}), "spec.suspend")
	refusesWrite(s, c.put("set-workers-0", func(j *batchv1.Job) { j.Spec.BackoffLimit = ptr.To[int32](1) }), "spec.backoffLimit")

	// A set that starts over, or ends, deletes its Jobs.
	foreground := metav1.DeleteOptions{PropagationPolicy: ptr.To(metav1.DeletePropagationForeground)}
	if err := c.jobs.Delete(t.Context(), "set-workers-0", foreground); err != nil {
		t.Fatal(err)
	}
	s.Eventually("be removed", func() error { return s.JobAndPodsGone("set-workers-0") })
}
