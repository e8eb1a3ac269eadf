// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/batchgate/batchgate/test/framework"
	"github.com/batchgate/batchgate/test/node"
)

// command sets what the containers of a Job run.
func command(script string) func(*batchv1.Job) {
	return func(job *batchv1.Job) {
		container := &job.Spec.Template.Spec.Containers[0]
		container.Image, container.Command = node.BusyboxImage, []string{"sh", "-c", script}
		job.Spec.Template.Spec.TerminationGracePeriodSeconds = ptr.To[int64](1)
	}
}

// indexed makes a Job indexed, with this many Pods.
func indexed(n int32) func(*batchv1.Job) {
	return func(job *batchv1.Job) {
		job.Spec.CompletionMode = ptr.To(batchv1.IndexedCompletion)
		job.Spec.Completions, job.Spec.Parallelism = ptr.To(n), ptr.To(n)
	}
}

// waitReady waits until n Pods of a Job are ready.
func waitReady(j framework.Jobs, name string, n int) {
	j.T.Helper()
	j.Eventually(fmt.Sprintf("see %d ready Pods of %s", n, name), func() error {
		if ready := ptr.Deref(j.Get(name).Status.Ready, 0); int(ready) != n {
			return fmt.Errorf("%d Pods are ready", ready)
		}
		return nil
	})
}

// testJobs patches Jobs whose Pods run, until they finish.
func testJobs(t *testing.T, a admin) {
	a.t = t
	j := a.jobs()
	patch := func(name, patch string) {
		t.Helper()
		a.sh(fmt.Sprintf("kubectl -n %s patch job %s --type=merge --patch='%s'", j.Namespace, name, patch))
	}

	report(t, "Jobs whose Pods run are patched: plain, indexed, with a success policy, with a Pod failure policy, suspended and resumed under a policy",
		"each Job reaches the expected condition; `kubectl logs` and `kubectl exec` work")
	t.Run("completions raised while Pods run", func(t *testing.T) {
		a.t, j.T = t, t
		j.Create(framework.NewJob("plain", command("sleep 10")))
		waitReady(j, "plain", 1)
		patch("plain", `{"spec":{"parallelism":3,"completions":4}}`)
		j.Wait("plain", batchv1.JobComplete)
		if succeeded := j.Get("plain").Status.Succeeded; succeeded != 4 {
			t.Errorf("%d Pods succeeded, want 4", succeeded)
		}
	})
	t.Run("indexed Job scaled up", func(t *testing.T) {
		a.t, j.T = t, t
		j.Create(framework.NewJob("indexed", indexed(2), command(`echo index $JOB_COMPLETION_INDEX; sleep 10`)))
		waitReady(j, "indexed", 2)
		patch("indexed", `{"spec":{"parallelism":3,"completions":3}}`)
		j.Wait("indexed", batchv1.JobComplete)
		if got := j.Get("indexed").Status.CompletedIndexes; got != "0-2" {
			t.Errorf("completed indexes: %s, want 0-2", got)
		}
		logs := a.sh("kubectl -n " + j.Namespace + " logs --selector=job-name=indexed")
		for _, line := range []string{"index 0", "index 1", "index 2"} {
			if !strings.Contains(logs, line) {
				t.Errorf("logs lack %q: %s", line, logs)
			}
		}
	})
	t.Run("Job with success policy patched", func(t *testing.T) {
		a.t, j.T = t, t
		j.Create(framework.NewJob("leader", indexed(2), command(`if [ $JOB_COMPLETION_INDEX = 0 ]; then sleep 10; else sleep 600; fi`), func(job *batchv1.Job) {
			job.Spec.SuccessPolicy = &batchv1.SuccessPolicy{Rules: []batchv1.SuccessPolicyRule{{SucceededIndexes: ptr.To("0")}}}
		}))
		waitReady(j, "leader", 2)
		patch("leader", `{"metadata":{"labels":{"team":"a"}}}`)
		j.Wait("leader", batchv1.JobComplete)
	})
	t.Run("Job with Pod failure policy patched", func(t *testing.T) {
		a.t, j.T = t, t
		j.Create(framework.NewJob("strict", command("sleep 10; exit 42"), func(job *batchv1.Job) {
			job.Spec.PodFailurePolicy = &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{{
				Action:      batchv1.PodFailurePolicyActionFailJob,
				OnExitCodes: &batchv1.PodFailurePolicyOnExitCodesRequirement{Operator: batchv1.PodFailurePolicyOnExitCodesOpIn, Values: []int32{42}},
			}}}
		}))
		waitReady(j, "strict", 1)
		patch("strict", `{"spec":{"parallelism":2,"completions":2}}`)
		j.Wait("strict", batchv1.JobFailed)
		for _, condition := range j.Get("strict").Status.Conditions {
			if condition.Type == batchv1.JobFailed && condition.Reason != batchv1.JobReasonPodFailurePolicy {
				t.Errorf("the Job failed with the reason %s", condition.Reason)
			}
		}
	})
	t.Run("suspended and resumed under a policy", func(t *testing.T) {
		a.t, j.T = t, t
		j.Create(framework.NewJob("paused", command("sleep 10")))
		waitReady(j, "paused", 1)
		script := "kubectl -n " + j.Namespace + ` patch job paused --type=merge --patch='{"spec":{"suspend":true}}'`
		a.denied(script, "spec.suspend: Forbidden: may not be updated")
		a.sh(`kubectl apply --filename=- <<END
apiVersion: policy.batchgate.io/v1alpha1
kind: JobUpdatePolicy
metadata: {name: suspend}
spec: {fields: [spec.suspend]}
END`)
		j.Eventually("suspend the Job", func() error { _, err := a.try(script); return err })
		j.Eventually("see no Pod", func() error {
			if left := j.Pods("paused"); len(left) > 0 {
				return fmt.Errorf("%d Pods are left", len(left))
			}
			return nil
		})
		patch("paused", `{"spec":{"suspend":false}}`)
		j.Wait("paused", batchv1.JobComplete)
		a.sh("kubectl delete jup suspend")
	})
	t.Run("exec", func(t *testing.T) {
		a.t, j.T = t, t
		j.Create(framework.NewJob("interactive", command("until [ -e /tmp/done ]; do sleep 0.2; done")))
		waitReady(j, "interactive", 1)
		a.sh("kubectl -n " + j.Namespace + " exec job/interactive -- touch /tmp/done")
		j.Wait("interactive", batchv1.JobComplete)
	})
}

// testContainers checks how kubelet and containerd run Batchgate's containers.
func testContainers(t *testing.T, a admin) {
	a.t = t
	pods := a.pods()
	for _, pod := range pods {
		process := a.process(pod)
		if process.UID != 65532 || process.EffectiveCapabilities != 0 || !process.NoNewPrivileges || process.SeccompMode != 2 {
			t.Errorf("%s runs as %+v, want the user 65532 without privileges, with seccomp's filter", pod.Name, process)
		}
		if !process.ReadOnlyRoot {
			t.Errorf("the root of %s is writable", pod.Name)
		}
		if limit := int64(1 << 30); process.MemoryLimit != limit {
			t.Errorf("the memory limit of %s is %d, want %d", pod.Name, process.MemoryLimit, limit)
		}
	}
	report(t, "containerd runs the containers", "the user 65532, no capabilities, no new privileges, a seccomp filter, a read-only root file system, the memory limit; one replica on each node")
	if len(pods) != 2 || pods[0].Spec.NodeName == pods[1].Spec.NodeName {
		t.Errorf("want a Pod on each node: %s", a.sh("kubectl -n batchgate-system get pods --output=wide"))
	}
}

// process returns the process of Batchgate in a Pod.
func (a admin) process(pod corev1.Pod) node.Process {
	a.t.Helper()
	for _, n := range a.cluster.Nodes {
		if n.Name != pod.Spec.NodeName {
			continue
		}
		process, err := n.ContainerProcess(a.t.Context(), pod.Namespace, pod.Name, "apiserver")
		if err != nil {
			a.t.Fatal(err)
		}
		return process
	}
	a.t.Fatalf("%s is on no node", pod.Name)
	return node.Process{}
}

// pods returns the running Pods of Batchgate.
func (a admin) pods() []corev1.Pod {
	a.t.Helper()
	list, err := a.cluster.Client.CoreV1().Pods(namespace).List(a.t.Context(), listOptions)
	if err != nil {
		a.t.Fatal(err)
	}
	var found []corev1.Pod
	for _, pod := range list.Items {
		if pod.DeletionTimestamp == nil && pod.Status.Phase == corev1.PodRunning {
			found = append(found, pod)
		}
	}
	return found
}

// testEvictions checks that the PodDisruptionBudget keeps one replica when both nodes are to be drained.
func testEvictions(t *testing.T, a admin) {
	a.t = t
	a.sh("kubectl drain node2 --ignore-daemonsets --delete-emptydir-data --force --timeout=3m")
	_, err := a.try("kubectl drain node1 --ignore-daemonsets --delete-emptydir-data --force --timeout=20s --pod-selector=app.kubernetes.io/name=batchgate-apiserver")
	if err == nil || !strings.Contains(err.Error(), "disruption budget") {
		t.Errorf("draining all nodes: %v, want an error of the PodDisruptionBudget", err)
	}
	report(t, "node2 is drained, then node1", "the PodDisruptionBudget stops the second drain and keeps one replica")
	a.checkGate()
	a.sh("kubectl uncordon node1 node2\n" + waitDeployment)
}

// testRotation renews the serving certificate and waits until kubelet has updated the files and the
// running containers serve the new certificate.
func testRotation(t *testing.T, a admin) {
	a.t = t
	served := func() (string, error) {
		return a.try(`ip=$(kubectl -n batchgate-system get service batchgate-apiserver --output=jsonpath='{.spec.clusterIP}')
openssl s_client -connect $ip:443 </dev/null 2>/dev/null | openssl x509 -noout -serial`)
	}
	before, err := served()
	if err != nil {
		t.Fatal(err)
	}
	a.sh(`kubectl -n batchgate-system delete secret batchgate-serving
kubectl batchgate certificates`)
	began := time.Now()
	framework.Eventually(t, waitTimeout, "see the new certificate", func() error {
		for range 10 { // both replicas
			after, err := served()
			if err != nil {
				return err
			}
			if after == before {
				return errors.New("a replica serves the old certificate")
			}
		}
		return nil
	})
	report(t, "the serving certificate is renewed", "kubelet updates the files, and both replicas serve the new certificate after %s", time.Since(began).Round(time.Second))
	a.checkGate()
}

// testMemory lists many large Jobs at the same time.
func testMemory(t *testing.T, a admin) {
	a.t = t
	j := a.jobs()
	const jobs, size, clients, lists = 200, 50_000, 20, 5
	for i := range jobs {
		j.Create(framework.NewJob(fmt.Sprintf("large-%d", i), func(job *batchv1.Job) {
			job.Spec.Suspend = ptr.To(true)
			job.Annotations["large"] = strings.Repeat("x", size)
		}))
	}
	group, ctx := errgroup.WithContext(t.Context())
	for range clients {
		group.Go(func() error {
			for range lists {
				list, err := a.cluster.Client.BatchV1().Jobs(j.Namespace).List(ctx, metav1.ListOptions{})
				if err != nil {
					return err
				}
				if len(list.Items) != jobs {
					return fmt.Errorf("%d Jobs in a list, want %d", len(list.Items), jobs)
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
	var peak int64
	for _, pod := range a.pods() {
		if restarts := pod.Status.ContainerStatuses[0].RestartCount; restarts > 0 {
			t.Errorf("%s has restarted", pod.Name)
		}
		peak = max(peak, a.process(pod).MemoryPeak)
	}
	report(t, fmt.Sprintf("%d clients at a time list %d Jobs of %d kB", clients, jobs, size/1000), "no container restarts; one uses %d MiB at most, and the limit is 1024 MiB", peak>>20)
}
