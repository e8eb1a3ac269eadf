// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/batchgate/batchgate/test/framework"
	"github.com/batchgate/batchgate/test/node"
)

var listOptions = metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + framework.Name}

// load patches a Job in a loop.
type load struct {
	t      *testing.T
	stop   context.CancelFunc
	done   chan struct{}
	count  int
	failed []error
	// longest is the longest time without a response.
	longest time.Duration
}

// startLoad patches a new Job until end is called.
func (a admin) startLoad() *load {
	a.t.Helper()
	j := a.jobs()
	job := j.Create(framework.NewJob("load", command("sleep 3600"), func(job *batchv1.Job) { job.Spec.Suspend = new(bool) }))
	ctx, cancel := context.WithCancel(a.t.Context())
	l := &load{t: a.t, stop: cancel, done: make(chan struct{})}
	go func() {
		defer close(l.done)
		for last := time.Now(); ctx.Err() == nil; time.Sleep(20 * time.Millisecond) {
			patch := fmt.Appendf(nil, `{"metadata":{"labels":{"n":"%d"}}}`, l.count)
			request, cancel := context.WithTimeout(ctx, 70*time.Second)
			_, err := a.cluster.Client.BatchV1().Jobs(job.Namespace).Patch(request, job.Name, types.MergePatchType, patch, metav1.PatchOptions{})
			cancel()
			if ctx.Err() != nil {
				return
			}
			l.count++
			if err != nil {
				l.failed = append(l.failed, err)
				continue
			}
			l.longest = max(l.longest, time.Since(last))
			last = time.Now()
		}
	}()
	return l
}

// end stops the load, and returns a summary for the report.
func (l *load) end() string {
	l.t.Helper()
	l.stop()
	<-l.done
	if l.count < 10 {
		l.t.Errorf("only %d patches", l.count)
	}
	if l.longest > time.Minute {
		l.t.Errorf("no patch succeeded for %s", l.longest)
	}
	return fmt.Sprintf("%d of %d patches failed; at most %s without a success", len(l.failed), l.count, l.longest.Round(100*time.Millisecond))
}

// testRestart restarts the Deployment under load.
func testRestart(t *testing.T, a admin) {
	a.t = t
	l := a.startLoad()
	a.sh("kubectl -n batchgate-system rollout restart deployment/batchgate-apiserver\n" + waitDeployment)
	report(t, "the Deployment restarts under load", "%s", l.end())
	for _, err := range l.failed {
		t.Error(err)
	}
}

// testHungReplica pauses the container of one replica. Requests that it has taken hang; kubelet
// starts the container again.
func testHungReplica(t *testing.T, a admin) {
	a.t = t
	l := a.startLoad()
	pod := a.pods()[0]
	if err := syscall.Kill(a.process(pod).PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	framework.Eventually(t, waitTimeout, "see kubelet restart the container", func() error {
		current, err := a.cluster.Client.CoreV1().Pods(namespace).Get(t.Context(), pod.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if status := current.Status.ContainerStatuses[0]; status.RestartCount == 0 || !status.Ready {
			return fmt.Errorf("%d restarts", status.RestartCount)
		}
		return nil
	})
	report(t, "one of two replicas hangs", "kubelet restarts its container; %s", l.end())
}

// testNodeLoss cuts the power of the second node.
func testNodeLoss(t *testing.T, a admin) {
	a.t = t
	l := a.startLoad()
	second := a.cluster.Nodes[1]
	if err := second.PowerOff(); err != nil {
		t.Fatal(err)
	}
	framework.Eventually(t, waitTimeout, "see a replica in place of the lost one", func() error {
		ready := 0
		for _, pod := range a.pods() {
			if pod.Spec.NodeName != second.Name && pod.Status.ContainerStatuses[0].Ready {
				ready++
			}
		}
		if ready != 2 {
			return fmt.Errorf("%d replicas are ready on other nodes", ready)
		}
		return nil
	})
	report(t, "the node of one of two replicas loses its power", "another replica starts in its place; %s", l.end())
	if err := second.Boot(); err != nil {
		t.Fatal(err)
	}
	if err := second.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.sh("kubectl -n batchgate-system rollout restart deployment/batchgate-apiserver\n" + waitDeployment)
}

// testPowerLoss cuts the power of all nodes and turns it on again.
func testPowerLoss(t *testing.T, a admin) {
	a.t = t
	j := a.jobs()
	j.Create(framework.NewJob("survivor", command("sleep 20"), func(job *batchv1.Job) { job.Spec.Template.Spec.RestartPolicy = "OnFailure" }))
	running(j, "survivor", 1)
	took := a.powerCycle()
	a.sh("kubectl -n " + j.Namespace + ` patch job survivor --type=merge --patch='{"metadata":{"labels":{"after":"loss"}}}'`)
	j.Wait("survivor", batchv1.JobComplete)
	a.sh(waitDeployment)
	report(t, "both nodes lose their power while a Job runs", "Jobs are gated again %s after the power is back, and the Job completes", took)
}

// TestOperations runs Jobs, and lets containers, nodes and the whole cluster fail, with the topology
// base on two nodes.
func TestOperations(t *testing.T) {
	a := newAdmin(t, node.Options{Nodes: 2})
	a.writeEtcdCertificate()
	a.sh(`sed "s|https://etcd.invalid:2379|$ETCD|" install.yaml | kubectl apply --server-side --filename=-` + createEtcdSecret + `
kubectl batchgate certificates
` + waitDeployment + registerPolicies + `
kubectl batchgate takeover`)
	for _, test := range []struct {
		name string
		run  func(*testing.T, admin)
	}{
		{"jobs", testJobs},
		{"containers", testContainers},
		{"memory", testMemory},
		{"restart", testRestart},
		{"evictions", testEvictions},
		{"rotation", testRotation},
		{"hung replica", testHungReplica},
		{"node loss", testNodeLoss},
		{"power loss", testPowerLoss},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, a) })
	}
}
