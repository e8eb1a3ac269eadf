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

// Two queues of a quota of three CPUs each: one whose flavor says which nodes, and what they
// tolerate, and one that also chooses a node for each Pod, and holds Pods until it has.
const queues = `
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

func inQueue(name string) func(*batchv1.Job) {
	return func(j *batchv1.Job) { j.Labels["kueue.x-k8s.io/queue-name"] = name }
}

func annotated(key, value string) func(*batchv1.Job) {
	return func(j *batchv1.Job) { j.Annotations[key] = value }
}

// createQueues makes the queues, once for all tests.
func createQueues(t *testing.T) {
	t.Helper()
	for node, pool := range map[string]string{"fake-1": "spot", "fake-2": "rack"} {
		if _, _, err := cluster.Kubectl().Run(t.Context(), "label", "node", node, "example.com/pool="+pool, "--overwrite"); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := cluster.Kubectl().WithStdin(queues).Run(t.Context(), "apply", "--server-side", "--filename=-"); err != nil {
		t.Fatal(err)
	}
}

// active has Kueue run the Job, or stop it.
func (s session) active(job *batchv1.Job, active bool) {
	s.t.Helper()
	s.activeWorkload(string(job.UID), active)
}

// activeWorkload is active for whatever has the UID.
func (s session) activeWorkload(uid string, active bool) {
	s.t.Helper()
	workload := s.run("get", "workloads", "--selector=kueue.x-k8s.io/job-uid="+uid, "--output=name")
	s.run("patch", workload, "--type=merge", fmt.Sprintf(`--patch={"spec": {"active": %t}}`, active))
}

// waitStopped waits until the Job is suspended and has the spec that it was created with.
func (s session) waitStopped(job *batchv1.Job) {
	s.t.Helper()
	s.eventually("be stopped", func() error {
		now := s.job(job.Name)
		if diff := cmp.Diff(job.Spec, now.Spec); diff != "" {
			return fmt.Errorf("the Job is not what it was before Kueue started it:\n%s", diff)
		}
		if _, stopping := now.Annotations["kueue.x-k8s.io/stopping"]; stopping || now.Status.StartTime != nil {
			return fmt.Errorf("it has annotations %v and start time %v", now.Annotations, now.Status.StartTime)
		}
		if pods := s.pods(job.Name); len(pods) > 0 {
			return fmt.Errorf("it has %d Pods", len(pods))
		}
		return nil
	})
}

// startAndStop has Kueue start the Job, stop it, start it again and see it end, each time with n
// Pods, all of them on the node.
func (s session) startAndStop(job *batchv1.Job, n int, node string) {
	s.t.Helper()
	job = s.createJob(job)
	if job.Spec.Suspend == nil || !*job.Spec.Suspend {
		s.t.Fatal("Kueue's webhook did not suspend the new Job")
	}
	for range 2 {
		s.waitRunning(job.Name, n)
		for _, pod := range s.pods(job.Name) {
			if pod.Spec.NodeName != node || pod.Labels["kueue.x-k8s.io/podset"] != "main" {
				s.t.Errorf("a Pod runs on %s, with the labels %v", pod.Spec.NodeName, pod.Labels)
			}
		}
		s.active(job, false)
		s.waitStopped(job)
		s.active(job, true)
	}
	s.waitRunning(job.Name, n)
	s.finish(job.Name)
	if got := s.job(job.Name).Status.Succeeded; int(got) != n {
		s.t.Errorf("%d Pods succeeded, not %d", got, n)
	}
}

var kueueScenarios = []scenario{
	{"RunsAJobToItsEnd", func(s session) {
		s.create(localQueues)
		job := s.createJob(newJob("pi", 2, inQueue("spot"), func(j *batchv1.Job) { delete(j.Spec.Template.Annotations, framework.HoldAnnotation) }))
		s.finish("pi")
		spec := s.job("pi").Spec.Template.Spec
		if spec.NodeSelector["example.com/pool"] != "spot" || len(spec.Tolerations) != 1 {
			s.t.Errorf("the flavor is not in the template: %+v", spec)
		}
		s.eventually("be finished for Kueue", func() error {
			if got := s.run("get", "workloads", "--selector=kueue.x-k8s.io/job-uid="+string(job.UID), "--output=jsonpath={.items[*].status.conditions[?(@.type==\"Finished\")].reason}"); got != "Succeeded" {
				return fmt.Errorf("its Workload is finished with the reason %q", got)
			}
			return nil
		})
	}},
	{"StopsAJobAndStartsItAgain", func(s session) {
		s.create(localQueues)
		s.startAndStop(newJob("pi", 2, inQueue("spot")), 2, "fake-1")
	}},
	{"ChoosesNodesForPods", func(s session) {
		s.create(localQueues)
		s.startAndStop(newJob("pi", 2, inQueue("rack")), 2, "fake-2")
	}},
	{"AdmitsAJobInPart", func(s session) {
		s.create(localQueues)
		indexed := func(j *batchv1.Job) {
			mode := batchv1.IndexedCompletion
			j.Spec.CompletionMode = &mode
		}
		s.startAndStop(newJob("pi", 4, inQueue("spot"), indexed, annotated("kueue.x-k8s.io/job-min-parallelism", "2"),
			annotated("kueue.x-k8s.io/job-completions-equal-parallelism", "true")), 3, "fake-1")
	}},
	{"PreemptsAJob", func(s session) {
		s.create(localQueues)
		low := s.createJob(newJob("low", 3, inQueue("spot")))
		s.waitRunning("low", 3)
		s.createJob(newJob("high", 2, inQueue("spot"), func(j *batchv1.Job) { j.Labels["kueue.x-k8s.io/priority-class"] = "high" }))
		s.waitRunning("high", 2)
		s.waitStopped(low)
		s.finish("high")
		s.waitRunning("low", 3)
		s.finish("low")
	}},
	{"LetsGoOfADeletedJob", func(s session) {
		s.create(localQueues)
		for _, cascade := range []string{"background", "foreground"} {
			s.createJob(newJob(cascade, 2, inQueue("spot")))
			s.waitRunning(cascade, 2)
			s.run("delete", "job", cascade, "--cascade="+cascade)
			s.eventually("be removed", func() error { return s.gone(cascade) })
		}
	}},
}

func TestKueueDrivesJobsByItsExample(t *testing.T) {
	install(t)
	createQueues(t)
	kueue.prove(t, kueueScenarios)
}

func TestKueueIsRefusedWithoutItsExampleAndGoesOnWithIt(t *testing.T) {
	install(t)
	createQueues(t)
	s := newSession(t)
	s.createCanary()
	s.waitVerdict(kueue, "refused")
	s.create(localQueues)
	example := kueue.example(t)

	d := decisions(t)
	job := s.createJob(newJob("pi", 2, inQueue("spot")))
	s.refusedAt(kueue, d, "spec.suspend", "spec.template.spec.nodeSelector", "spec.template.spec.tolerations", "spec.template.metadata.labels")
	s.untouched(job)
	if pods := s.pods("pi"); len(pods) > 0 {
		t.Errorf("it has %d Pods", len(pods))
	}
	s.grant(example)
	s.waitRunning("pi", 2)

	running, pods := s.job("pi"), s.podUIDs("pi")
	revoke(t.Context(), t, example)
	s.waitVerdict(kueue, "refused")
	d = decisions(t)
	s.active(job, false)
	s.refusedAt(kueue, d, "spec.suspend", `metadata.annotations["kueue.x-k8s.io/stopping"]`)
	s.untouched(running)
	if diff := cmp.Diff(pods, s.podUIDs("pi")); diff != "" {
		t.Errorf("other Pods run:\n%s", diff)
	}
	s.grant(example)
	s.waitStopped(job)
	s.active(job, true)
	s.waitRunning("pi", 2)
	s.finish("pi")
}
