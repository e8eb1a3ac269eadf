package ecosystem

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/test/framework"
)

// A set of three Jobs of a held Pod each, SUSPEND and LABELS are replaced.
const set = `
apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata: {name: set, labels: {LABELS}}
spec:
  suspend: SUSPEND
  failurePolicy: {maxRestarts: 1}
  replicatedJobs:
  - name: leader
    replicas: 1
    template: &template
      spec:
        backoffLimit: 0
        parallelism: 1
        completions: 1
        template:
          metadata:
            annotations: {test.batchgate.io/hold: ""}
          spec:
            restartPolicy: Never
            containers:
            - {name: main, image: "example.com/work:1", resources: {requests: {cpu: 1}}}
  - name: workers
    replicas: 2
    template: *template
`

// jobsOfSet are the Jobs that JobSet makes of it.
var jobsOfSet = []string{"set-leader-0", "set-workers-0", "set-workers-1"}

func (s session) createSet(suspend bool, labels string) {
	s.t.Helper()
	s.create(strings.NewReplacer("SUSPEND", fmt.Sprint(suspend), "LABELS", labels).Replace(set))
}

func (s session) suspendSet(suspend bool) {
	s.t.Helper()
	s.run("patch", "jobset", "set", "--type=merge", fmt.Sprintf(`--patch={"spec": {"suspend": %t}}`, suspend))
}

// waitSetRunning waits until each Job of the set has so many Pods, which run.
func (s session) waitSetRunning(n int) {
	s.t.Helper()
	s.eventually("have its Jobs", func() error {
		have := strings.Fields(s.run("get", "jobs", "--selector=jobset.sigs.k8s.io/jobset-name=set", "--output=jsonpath={.items[*].metadata.name}"))
		if slices.Sort(have); !slices.Equal(have, jobsOfSet) {
			return fmt.Errorf("the set has the Jobs %v", have)
		}
		return nil
	})
	for _, job := range jobsOfSet {
		s.waitRunning(job, n)
	}
}

// setField returns the value of a JSONPath of the set.
func (s session) setField(path string) string {
	s.t.Helper()
	return s.run("get", "jobset", "set", "--output=jsonpath={"+path+"}")
}

// finishSet releases the Pods of the set, and waits until it is completed.
func (s session) finishSet() {
	s.t.Helper()
	for _, job := range jobsOfSet {
		s.release(job)
	}
	s.eventually("be completed", func() error {
		if got := s.setField(".status.terminalState"); got != "Completed" {
			return fmt.Errorf("the state of the set is %q", got)
		}
		return nil
	})
}

// changeLeader changes what Jobs can change of their template while they are suspended, in that of
// the leader.
func (s session) changeLeader(run string) {
	s.t.Helper()
	s.run("patch", "jobset", "set", "--type=json", strings.ReplaceAll(`--patch=[
		{"op": "add", "path": "/spec/replicatedJobs/0/template/spec/template/metadata/labels", "value": {"example.com/run": "RUN"}},
		{"op": "add", "path": "/spec/replicatedJobs/0/template/spec/template/metadata/annotations/example.com~1run", "value": "RUN"},
		{"op": "add", "path": "/spec/replicatedJobs/0/template/spec/template/spec/nodeSelector", "value": {"kubernetes.io/hostname": "fake-RUN"}},
		{"op": "add", "path": "/spec/replicatedJobs/0/template/spec/template/spec/tolerations", "value": [{"key": "example.com/RUN", "operator": "Exists"}]},
		{"op": "add", "path": "/spec/replicatedJobs/0/template/spec/template/spec/schedulingGates", "value": [{"name": "example.com/RUN"}]}]`, "RUN", run))
}

// ungateLeader checks that the leader's Pod has what changeLeader says, and lets it be scheduled.
func (s session) ungateLeader(run string) {
	s.t.Helper()
	s.eventually("have a Pod that waits", func() error {
		pods := s.pods("set-leader-0")
		if len(pods) != 1 || pods[0].DeletionTimestamp != nil || len(pods[0].Spec.SchedulingGates) == 0 {
			return fmt.Errorf("the leader has %d Pods: %+v", len(pods), pods)
		}
		pod := pods[0]
		hasGate := slices.ContainsFunc(pod.Spec.SchedulingGates, func(g corev1.PodSchedulingGate) bool { return g.Name == "example.com/"+run })
		hasToleration := slices.ContainsFunc(pod.Spec.Tolerations, func(t corev1.Toleration) bool { return t.Key == "example.com/"+run })
		if pod.Labels["example.com/run"] != run || pod.Annotations["example.com/run"] != run ||
			pod.Spec.NodeSelector["kubernetes.io/hostname"] != "fake-"+run || !hasGate || !hasToleration {
			return fmt.Errorf("the Pod is not of run %s: %+v", run, pod)
		}
		return nil
	})
	s.run("patch", "pod", s.pods("set-leader-0")[0].Name, "--type=json", `--patch=[{"op": "remove", "path": "/spec/schedulingGates"}]`)
}

// What JobSet does without an update of a Job.
var jobSetCreations = []scenario{
	{"RunsASetToItsEnd", func(s session) {
		s.createSet(false, "")
		s.waitSetRunning(1)
		s.finishSet()
	}},
	{"StartsASetOverWhenAJobFails", func(s session) {
		s.createSet(false, "")
		s.waitSetRunning(1)
		s.run("annotate", "pods", "--selector="+batchv1.JobNameLabel+"=set-workers-1", framework.ExitCodeAnnotation+"=1", framework.HoldAnnotation+"-")
		s.eventually("start over", func() error {
			for _, job := range jobsOfSet {
				if got := s.run("get", "job", job, "--ignore-not-found", `--output=jsonpath={.metadata.labels.jobset\.sigs\.k8s\.io/restart-attempt}`); got != "1" {
					return fmt.Errorf("%s is of attempt %q", job, got)
				}
			}
			return nil
		})
		s.waitSetRunning(1)
		s.finishSet()
		if got := s.setField(".status.restarts"); got != "1" {
			s.t.Errorf("the set was started over %s times", got)
		}
	}},
	{"DeletesASet", func(s session) {
		for _, cascade := range []string{"background", "foreground"} {
			s.createSet(false, "")
			s.waitSetRunning(1)
			s.run("delete", "jobset", "set", "--cascade="+cascade)
			for _, job := range jobsOfSet {
				s.eventually("be removed", func() error { return s.gone(job) })
			}
		}
	}},
}

var jobSetUpdates = []scenario{
	{"ResumesASetWithWhatHasChanged", func(s session) {
		s.createSet(true, "")
		for _, run := range []string{"1", "2"} {
			s.waitSetRunning(0)
			s.changeLeader(run)
			s.suspendSet(false)
			s.ungateLeader(run)
			s.waitSetRunning(1)
			s.suspendSet(true)
		}
		s.waitSetRunning(0)
		s.suspendSet(false)
		s.ungateLeader("2")
		s.waitSetRunning(1)
		s.finishSet()
	}},
}

func TestJobSetDrivesJobsByItsExample(t *testing.T) {
	install(t)
	jobset.prove(t, slices.Concat(jobSetCreations, jobSetUpdates))
}

func TestJobSetIsRefusedWithoutItsExampleAndGoesOnWithIt(t *testing.T) {
	install(t)
	s := newSession(t)
	s.createCanary()
	s.waitVerdict(jobset, "refused")
	example := jobset.example(t)
	d := decisions(t)
	runAll(t, jobSetCreations)
	if d.nothingRefused(jobset) > 0 {
		t.Error("JobSet updates Jobs before a set is suspended or resumed")
	}

	s.createSet(true, "")
	s.waitSetRunning(0)
	suspended := s.jobsOf()
	d = decisions(t)
	s.suspendSet(false)
	s.refusedAt(jobset, d, "spec.suspend")
	for _, job := range suspended {
		s.untouched(job)
	}
	s.waitSetRunning(0)
	s.grant(example)
	s.waitSetRunning(1)

	running, pods := s.jobsOf(), s.podUIDs("set-leader-0")
	revoke(t.Context(), t, example)
	s.waitVerdict(jobset, "refused")
	d = decisions(t)
	s.suspendSet(true)
	s.refusedAt(jobset, d, "spec.suspend")
	for _, job := range running {
		s.untouched(job)
	}
	if diff := cmp.Diff(pods, s.podUIDs("set-leader-0")); diff != "" {
		t.Errorf("other Pods run:\n%s", diff)
	}
	s.grant(example)
	s.waitSetRunning(0)
	s.suspendSet(false)
	s.waitSetRunning(1)
	s.finishSet()
}

// jobsOf returns the Jobs of the set as they are now.
func (s session) jobsOf() []*batchv1.Job {
	s.t.Helper()
	var jobs []*batchv1.Job
	for _, name := range jobsOfSet {
		jobs = append(jobs, s.job(name))
	}
	return jobs
}

// Kueue resumes the set, and JobSet its Jobs, with what Kueue has put into the set's template.
func TestKueueDrivesASetByTheExampleForJobSet(t *testing.T) {
	install(t)
	createQueues(t)
	s := newSession(t)
	s.createCanary()
	s.grant(jobset.example(t))
	s.waitVerdict(jobset, "allowed")
	s.create(localQueues)
	d := decisions(t)
	s.createSet(false, "kueue.x-k8s.io/queue-name: spot")
	for range 2 {
		s.waitSetRunning(1)
		for _, job := range s.jobsOf() {
			if got := job.Spec.Template.Spec.NodeSelector["example.com/pool"]; got != "spot" {
				t.Errorf("%s has the node selector %v", job.Name, job.Spec.Template.Spec.NodeSelector)
			}
		}
		uid := s.setField(".metadata.uid")
		s.activeWorkload(uid, false)
		s.waitSetRunning(0)
		for _, job := range s.jobsOf() {
			if !ptr.Deref(job.Spec.Suspend, false) {
				t.Errorf("%s is not suspended", job.Name)
			}
		}
		s.activeWorkload(uid, true)
	}
	s.waitSetRunning(1)
	s.finishSet()
	if byKueue, byJobSet := d.nothingRefused(kueue), d.nothingRefused(jobset); byKueue > 0 || byJobSet == 0 {
		t.Errorf("Kueue changed Jobs %d times, JobSet %d times", byKueue, byJobSet)
	}
}
