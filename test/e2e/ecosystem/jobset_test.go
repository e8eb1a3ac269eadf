// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

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

// jobSetManifest is a JobSet of three Jobs with one held Pod each. SUSPEND and LABELS are placeholders.
const jobSetManifest = `
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

// setJobNames are the Jobs that JobSet creates.
var setJobNames = []string{"set-leader-0", "set-workers-0", "set-workers-1"}

func (s session) createSet(suspend bool, labels string) {
	s.t.Helper()
	s.create(strings.NewReplacer("SUSPEND", fmt.Sprint(suspend), "LABELS", labels).Replace(jobSetManifest))
}

func (s session) suspendSet(suspend bool) {
	s.t.Helper()
	s.run("patch", "jobset", "set", "--type=merge", fmt.Sprintf(`--patch={"spec": {"suspend": %t}}`, suspend))
}

// awaitSetRunning waits until each Job of the set has n Pods, all running.
func (s session) awaitSetRunning(n int) {
	s.t.Helper()
	s.eventually("have its Jobs", func() error {
		have := strings.Fields(s.run("get", "jobs", "--selector=jobset.sigs.k8s.io/jobset-name=set", "--output=jsonpath={.items[*].metadata.name}"))
		if slices.Sort(have); !slices.Equal(have, setJobNames) {
			return fmt.Errorf("the set has Jobs %v", have)
		}
		return nil
	})
	for _, job := range setJobNames {
		s.awaitRunning(job, n)
	}
}

// setField returns the value at a JSONPath.
func (s session) setField(path string) string {
	s.t.Helper()
	return s.run("get", "jobset", "set", "--output=jsonpath={"+path+"}")
}

// finishSet releases the Pods and waits until the set is completed.
func (s session) finishSet() {
	s.t.Helper()
	for _, job := range setJobNames {
		s.release(job)
	}
	s.eventually("be completed", func() error {
		if got := s.setField(".status.terminalState"); got != "Completed" {
			return fmt.Errorf("the state of the set is %q", got)
		}
		return nil
	})
}

// patchLeaderTemplate changes all template fields of the leader that are mutable while a Job is suspended.
func (s session) patchLeaderTemplate(run string) {
	s.t.Helper()
	s.run("patch", "jobset", "set", "--type=json", strings.ReplaceAll(`--patch=[
		{"op": "add", "path": "/spec/replicatedJobs/0/template/spec/template/metadata/labels", "value": {"example.com/run": "RUN"}},
		{"op": "add", "path": "/spec/replicatedJobs/0/template/spec/template/metadata/annotations/example.com~1run", "value": "RUN"},
		{"op": "add", "path": "/spec/replicatedJobs/0/template/spec/template/spec/nodeSelector", "value": {"kubernetes.io/hostname": "fake-RUN"}},
		{"op": "add", "path": "/spec/replicatedJobs/0/template/spec/template/spec/tolerations", "value": [{"key": "example.com/RUN", "operator": "Exists"}]},
		{"op": "add", "path": "/spec/replicatedJobs/0/template/spec/template/spec/schedulingGates", "value": [{"name": "example.com/RUN"}]}]`, "RUN", run))
}

// checkAndUngateLeader waits for the leader's Pod with the values of patchLeaderTemplate and removes its
// scheduling gates.
func (s session) checkAndUngateLeader(run string) {
	s.t.Helper()
	s.eventually("have a gated Pod", func() error {
		pods := s.pods("set-leader-0")
		if len(pods) != 1 || pods[0].DeletionTimestamp != nil || len(pods[0].Spec.SchedulingGates) == 0 {
			return fmt.Errorf("the leader has %d Pods: %+v", len(pods), pods)
		}
		pod := pods[0]
		hasGate := slices.ContainsFunc(pod.Spec.SchedulingGates, func(g corev1.PodSchedulingGate) bool { return g.Name == "example.com/"+run })
		hasToleration := slices.ContainsFunc(pod.Spec.Tolerations, func(t corev1.Toleration) bool { return t.Key == "example.com/"+run })
		if pod.Labels["example.com/run"] != run || pod.Annotations["example.com/run"] != run ||
			pod.Spec.NodeSelector["kubernetes.io/hostname"] != "fake-"+run || !hasGate || !hasToleration {
			return fmt.Errorf("the Pod does not have the values of run %s: %+v", run, pod)
		}
		return nil
	})
	s.run("patch", "pod", s.pods("set-leader-0")[0].Name, "--type=json", `--patch=[{"op": "remove", "path": "/spec/schedulingGates"}]`)
}

// scenariosWithoutUpdates are scenarios in which JobSet creates and deletes Jobs but does not update them.
var scenariosWithoutUpdates = []scenario{
	{"set completes", func(s session) {
		s.createSet(false, "")
		s.awaitSetRunning(1)
		s.finishSet()
	}},
	{"set restarts after failed Job", func(s session) {
		s.createSet(false, "")
		s.awaitSetRunning(1)
		s.run("annotate", "pods", "--selector="+batchv1.JobNameLabel+"=set-workers-1", framework.ExitCodeAnnotation+"=1", framework.HoldAnnotation+"-")
		s.eventually("restart", func() error {
			for _, job := range setJobNames {
				if got := s.run("get", "job", job, "--ignore-not-found", `--output=jsonpath={.metadata.labels.jobset\.sigs\.k8s\.io/restart-attempt}`); got != "1" {
					return fmt.Errorf("%s has restart attempt %q", job, got)
				}
			}
			return nil
		})
		s.awaitSetRunning(1)
		s.finishSet()
		if got := s.setField(".status.restarts"); got != "1" {
			s.t.Errorf("got %s restarts, want 1", got)
		}
	}},
	{"set deleted", func(s session) {
		for _, cascade := range []string{"background", "foreground"} {
			s.createSet(false, "")
			s.awaitSetRunning(1)
			s.run("delete", "jobset", "set", "--cascade="+cascade)
			for _, job := range setJobNames {
				s.eventually("be gone", func() error { return s.checkGone(job) })
			}
		}
	}},
}

var jobSetScenarios = []scenario{
	{"set resumed with changed template", func(s session) {
		s.createSet(true, "")
		for _, run := range []string{"1", "2"} {
			s.awaitSetRunning(0)
			s.patchLeaderTemplate(run)
			s.suspendSet(false)
			s.checkAndUngateLeader(run)
			s.awaitSetRunning(1)
			s.suspendSet(true)
		}
		s.awaitSetRunning(0)
		s.suspendSet(false)
		s.checkAndUngateLeader("2")
		s.awaitSetRunning(1)
		s.finishSet()
	}},
}

func TestJobSetExampleSufficesAndIsMinimal(t *testing.T) {
	installPrograms(t)
	jobset.testExamplePolicy(t, jobSetScenarios)
}

func TestJobSetRecoversAfterGrant(t *testing.T) {
	installPrograms(t)
	s := newSession(t)
	s.createCanary()
	s.awaitDecision(jobset, "deny")
	example := jobset.examplePolicy(t)
	d := watchDecisions(t)
	runSubtests(t, scenariosWithoutUpdates)
	if d.expectNoneDenied(jobset) > 0 {
		t.Error("JobSet updated Jobs, although no set was suspended or resumed")
	}

	s.createSet(true, "")
	s.awaitSetRunning(0)
	suspended := s.setJobs()
	d = watchDecisions(t)
	s.suspendSet(false)
	s.awaitDenied(jobset, d, "spec.suspend")
	for _, job := range suspended {
		s.expectSpecUnchanged(job)
	}
	s.awaitSetRunning(0)
	s.grant(example)
	s.awaitSetRunning(1)

	running, pods := s.setJobs(), s.podUIDs("set-leader-0")
	revoke(t.Context(), t, example)
	s.awaitDecision(jobset, "deny")
	d = watchDecisions(t)
	s.suspendSet(true)
	s.awaitDenied(jobset, d, "spec.suspend")
	for _, job := range running {
		s.expectSpecUnchanged(job)
	}
	if diff := cmp.Diff(pods, s.podUIDs("set-leader-0")); diff != "" {
		t.Errorf("the Pods changed:\n%s", diff)
	}
	s.grant(example)
	s.awaitSetRunning(0)
	s.suspendSet(false)
	s.awaitSetRunning(1)
	s.finishSet()
}

func (s session) setJobs() []*batchv1.Job {
	s.t.Helper()
	var jobs []*batchv1.Job
	for _, name := range setJobNames {
		jobs = append(jobs, s.job(name))
	}
	return jobs
}

// Kueue injects a node selector into the template of the set and resumes the set. JobSet updates the Jobs.
func TestKueueRunsJobSetWithItsExample(t *testing.T) {
	installPrograms(t)
	createQueues(t)
	s := newSession(t)
	s.createCanary()
	s.grant(jobset.examplePolicy(t))
	s.awaitDecision(jobset, "allow")
	s.create(localQueues)
	d := watchDecisions(t)
	s.createSet(false, "kueue.x-k8s.io/queue-name: spot")
	for range 2 {
		s.awaitSetRunning(1)
		for _, job := range s.setJobs() {
			if got := job.Spec.Template.Spec.NodeSelector["example.com/pool"]; got != "spot" {
				t.Errorf("%s has node selector %v", job.Name, job.Spec.Template.Spec.NodeSelector)
			}
		}
		uid := s.setField(".metadata.uid")
		s.setWorkloadActive(uid, false)
		s.awaitSetRunning(0)
		for _, job := range s.setJobs() {
			if !ptr.Deref(job.Spec.Suspend, false) {
				t.Errorf("%s is not suspended", job.Name)
			}
		}
		s.setWorkloadActive(uid, true)
	}
	s.awaitSetRunning(1)
	s.finishSet()
	if byKueue, byJobSet := d.expectNoneDenied(kueue), d.expectNoneDenied(jobset); byKueue > 0 || byJobSet == 0 {
		t.Errorf("Kueue updated Jobs %d times, want 0; JobSet %d times, want more than 0", byKueue, byJobSet)
	}
}
