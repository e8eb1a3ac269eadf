// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package ecosystem

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/batchgate/batchgate/test/framework"
)

// clusterQueues are two queues with a quota of three CPUs each. The flavor of spot sets a node selector and
// tolerations. The flavor of rack uses topology-aware scheduling, which gates Pods until they have a node.
const clusterQueues = `
apiVersion: kueue.x-k8s.io/v1beta2
kind: Topology
metadata: {name: hosts}
spec: {levels: [{nodeLabel: kubernetes.io/hostname}]}
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: ResourceFlavor
metadata: {name: spot}
spec:
  nodeLabels: {example.com/pool: spot}
  tolerations: [{key: example.com/spot, operator: Exists, effect: NoSchedule}]
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: ResourceFlavor
metadata: {name: rack}
spec:
  nodeLabels: {example.com/pool: rack}
  topologyName: hosts
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: WorkloadPriorityClass
metadata: {name: high}
value: 1000
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: ClusterQueue
metadata: {name: spot}
spec:
  namespaceSelector: {}
  preemption: {withinClusterQueue: LowerPriority}
  resourceGroups:
  - coveredResources: [cpu]
    flavors:
    - name: spot
      resources: [{name: cpu, nominalQuota: 3}]
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: ClusterQueue
metadata: {name: rack}
spec:
  namespaceSelector: {}
  resourceGroups:
  - coveredResources: [cpu]
    flavors:
    - name: rack
      resources: [{name: cpu, nominalQuota: 3}]
`

const localQueues = `
apiVersion: kueue.x-k8s.io/v1beta2
kind: LocalQueue
metadata: {name: spot}
spec: {clusterQueue: spot}
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: LocalQueue
metadata: {name: rack}
spec: {clusterQueue: rack}
`

var oneCPU = corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}}

func withQueue(name string) func(*batchv1.Job) {
	return func(j *batchv1.Job) { j.Labels["kueue.x-k8s.io/queue-name"] = name }
}

func withAnnotation(key, value string) func(*batchv1.Job) {
	return func(j *batchv1.Job) { j.Annotations[key] = value }
}

// createQueues creates the cluster queues, which all tests share.
func createQueues(t *testing.T) {
	t.Helper()
	for node, pool := range map[string]string{"fake-1": "spot", "fake-2": "rack"} {
		if _, _, err := cluster.Kubectl().Run(t.Context(), "label", "node", node, "example.com/pool="+pool, "--overwrite"); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := cluster.Kubectl().WithStdin(clusterQueues).Run(t.Context(), "apply", "--server-side", "--filename=-"); err != nil {
		t.Fatal(err)
	}
}

// setActive makes Kueue run or stop the Job.
func (s session) setActive(job *batchv1.Job, active bool) {
	s.t.Helper()
	s.setWorkloadActive(string(job.UID), active)
}

// setWorkloadActive is setActive for the Job or JobSet with the UID.
func (s session) setWorkloadActive(uid string, active bool) {
	s.t.Helper()
	workload := s.run("get", "workloads", "--selector=kueue.x-k8s.io/job-uid="+uid, "--output=name")
	s.run("patch", workload, "--type=merge", fmt.Sprintf(`--patch={"spec": {"active": %t}}`, active))
}

// awaitStopped waits until the Job is suspended and has its original spec again.
func (s session) awaitStopped(job *batchv1.Job) {
	s.t.Helper()
	s.eventually("be stopped", func() error {
		now := s.job(job.Name)
		if diff := cmp.Diff(job.Spec, now.Spec); diff != "" {
			return fmt.Errorf("the spec differs from the original (-want +got):\n%s", diff)
		}
		if _, stopping := now.Annotations["kueue.x-k8s.io/stopping"]; stopping || now.Status.StartTime != nil {
			return fmt.Errorf("the Job has annotations %v and start time %v", now.Annotations, now.Status.StartTime)
		}
		if pods := s.pods(job.Name); len(pods) > 0 {
			return fmt.Errorf("the Job has %d Pods", len(pods))
		}
		return nil
	})
}

// startAndStop creates the Job, lets Kueue stop and start it twice, and completes it. Each time it must have
// n Pods on the node.
func (s session) startAndStop(job *batchv1.Job, n int, node string) {
	s.t.Helper()
	job = s.createJob(job)
	if job.Spec.Suspend == nil || !*job.Spec.Suspend {
		s.t.Fatal("Kueue's webhook did not suspend the new Job")
	}
	for range 2 {
		s.awaitRunning(job.Name, n)
		for _, pod := range s.pods(job.Name) {
			if pod.Spec.NodeName != node || pod.Labels["kueue.x-k8s.io/podset"] != "main" {
				s.t.Errorf("Pod on node %s has labels %v", pod.Spec.NodeName, pod.Labels)
			}
		}
		s.setActive(job, false)
		s.awaitStopped(job)
		s.setActive(job, true)
	}
	s.awaitRunning(job.Name, n)
	s.finish(job.Name)
	if got := s.job(job.Name).Status.Succeeded; int(got) != n {
		s.t.Errorf("%d Pods succeeded, want %d", got, n)
	}
}

var kueueScenarios = []scenario{
	{"Job completes", func(s session) {
		s.create(localQueues)
		job := s.createJob(newJob("pi", 2, withQueue("spot"), func(j *batchv1.Job) { delete(j.Spec.Template.Annotations, framework.HoldAnnotation) }))
		s.finish("pi")
		spec := s.job("pi").Spec.Template.Spec
		if spec.NodeSelector["example.com/pool"] != "spot" || len(spec.Tolerations) != 1 {
			s.t.Errorf("the template lacks the values of the flavor: %+v", spec)
		}
		s.eventually("have a finished Workload", func() error {
			if got := s.run("get", "workloads", "--selector=kueue.x-k8s.io/job-uid="+string(job.UID), "--output=jsonpath={.items[*].status.conditions[?(@.type==\"Finished\")].reason}"); got != "Succeeded" {
				return fmt.Errorf("the Workload has the reason %q", got)
			}
			return nil
		})
	}},
	{"Job stopped and restarted", func(s session) {
		s.create(localQueues)
		s.startAndStop(newJob("pi", 2, withQueue("spot")), 2, "fake-1")
	}},
	{"topology-aware scheduling", func(s session) {
		s.create(localQueues)
		s.startAndStop(newJob("pi", 2, withQueue("rack")), 2, "fake-2")
	}},
	{"partial admission", func(s session) {
		s.create(localQueues)
		indexed := func(j *batchv1.Job) {
			mode := batchv1.IndexedCompletion
			j.Spec.CompletionMode = &mode
		}
		s.startAndStop(newJob("pi", 4, withQueue("spot"), indexed, withAnnotation("kueue.x-k8s.io/job-min-parallelism", "2"),
			withAnnotation("kueue.x-k8s.io/job-completions-equal-parallelism", "true")), 3, "fake-1")
	}},
	{"preemption", func(s session) {
		s.create(localQueues)
		low := s.createJob(newJob("low", 3, withQueue("spot")))
		s.awaitRunning("low", 3)
		s.createJob(newJob("high", 2, withQueue("spot"), func(j *batchv1.Job) { j.Labels["kueue.x-k8s.io/priority-class"] = "high" }))
		s.awaitRunning("high", 2)
		s.awaitStopped(low)
		s.finish("high")
		s.awaitRunning("low", 3)
		s.finish("low")
	}},
	{"Job deleted", func(s session) {
		s.create(localQueues)
		for _, cascade := range []string{"background", "foreground"} {
			s.createJob(newJob(cascade, 2, withQueue("spot")))
			s.awaitRunning(cascade, 2)
			s.run("delete", "job", cascade, "--cascade="+cascade)
			s.eventually("be gone", func() error { return s.checkGone(cascade) })
		}
	}},
}

func TestKueueExampleSufficesAndIsMinimal(t *testing.T) {
	installPrograms(t)
	createQueues(t)
	kueue.testExamplePolicy(t, kueueScenarios)
}

func TestKueueRecoversAfterGrant(t *testing.T) {
	installPrograms(t)
	createQueues(t)
	s := newSession(t)
	s.createCanary()
	s.awaitDecision(kueue, "deny")
	s.create(localQueues)
	example := kueue.examplePolicy(t)

	d := watchDecisions(t)
	job := s.createJob(newJob("pi", 2, withQueue("spot")))
	s.awaitDenied(kueue, d, "spec.suspend", "spec.template.spec.nodeSelector", "spec.template.spec.tolerations", "spec.template.metadata.labels")
	s.expectSpecUnchanged(job)
	if pods := s.pods("pi"); len(pods) > 0 {
		t.Errorf("the Job has %d Pods, want none", len(pods))
	}
	s.grant(example)
	s.awaitRunning("pi", 2)

	running, pods := s.job("pi"), s.podUIDs("pi")
	revoke(t.Context(), t, example)
	s.awaitDecision(kueue, "deny")
	d = watchDecisions(t)
	s.setActive(job, false)
	s.awaitDenied(kueue, d, "spec.suspend", `metadata.annotations["kueue.x-k8s.io/stopping"]`)
	s.expectSpecUnchanged(running)
	if diff := cmp.Diff(pods, s.podUIDs("pi")); diff != "" {
		t.Errorf("the Pods changed:\n%s", diff)
	}
	s.grant(example)
	s.awaitStopped(job)
	s.setActive(job, true)
	s.awaitRunning("pi", 2)
	s.finish("pi")
}
