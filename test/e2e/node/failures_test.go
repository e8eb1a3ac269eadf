// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
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
	failed []error

	mu sync.Mutex
	// succeeded counts successful patches. last is the time of the latest one, or of the start, and
	// longest the longest time between two of them.
	succeeded int
	last      time.Time
	longest   time.Duration
}

// startLoad patches a new Job until end is called.
func (a admin) startLoad() *load {
	a.t.Helper()
	j := a.jobs()
	job := j.Create(framework.NewJob("load", command("sleep 3600"), func(job *batchv1.Job) { job.Spec.Suspend = new(bool) }))
	ctx, cancel := context.WithCancel(a.t.Context())
	l := &load{t: a.t, stop: cancel, done: make(chan struct{}), last: time.Now()}
	go func() {
		defer close(l.done)
		for n := 0; ctx.Err() == nil; n++ {
			time.Sleep(20 * time.Millisecond)
			patch := fmt.Appendf(nil, `{"metadata":{"labels":{"n":"%d"}}}`, n)
			request, cancel := context.WithTimeout(ctx, 70*time.Second)
			_, err := a.cluster.Client.BatchV1().Jobs(job.Namespace).Patch(request, job.Name, types.MergePatchType, patch, metav1.PatchOptions{})
			cancel()
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				l.failed = append(l.failed, err)
				continue
			}
			l.mu.Lock()
			l.succeeded++
			l.longest = max(l.longest, time.Since(l.last))
			l.last = time.Now()
			l.mu.Unlock()
		}
	}()
	return l
}

// end waits for ten more successful patches, stops the load, and returns a summary for the report.
func (l *load) end() string {
	l.t.Helper()
	succeeded := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.succeeded
	}
	before := succeeded()
	framework.Eventually(l.t, waitTimeout, "see ten patches succeed", func() error {
		if n := succeeded() - before; n < 10 {
			return fmt.Errorf("%d patches succeeded", n)
		}
		return nil
	})
	l.stop()
	<-l.done
	if l.longest > time.Minute {
		l.t.Errorf("no patch succeeded for %s", l.longest)
	}
	return fmt.Sprintf("%d of %d patches failed; at most %s without a success", len(l.failed), l.succeeded+len(l.failed), l.longest.Round(100*time.Millisecond))
}

// testRestart restarts the Deployment under load.
func testRestart(t *testing.T, a admin) {
	a.t = t
	l := a.startLoad()
	a.sh("kubectl -n batchgate-system rollout restart deployment/batchgate-apiserver\n" + waitDeployment)
	framework.Eventually(t, waitTimeout, "see the old replicas end", func() error {
		list, err := a.cluster.Client.CoreV1().Pods(namespace).List(t.Context(), listOptions)
		if err == nil && len(list.Items) != 2 {
			err = fmt.Errorf("%d Pods exist", len(list.Items))
		}
		return err
	})
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
	restarts := pod.Status.ContainerStatuses[0].RestartCount
	if err := syscall.Kill(a.process(pod).PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	framework.Eventually(t, waitTimeout, "see kubelet restart the container", func() error {
		current, err := a.cluster.Client.CoreV1().Pods(namespace).Get(t.Context(), pod.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if status := current.Status.ContainerStatuses[0]; status.RestartCount == restarts || !status.Ready {
			return fmt.Errorf("%d restarts, ready: %t", status.RestartCount-restarts, status.Ready)
		}
		return nil
	})
	report(t, "one of two replicas hangs", "kubelet restarts its container; %s", l.end())
}

// spread moves replicas until each node has one.
func (a admin) spread() {
	a.t.Helper()
	framework.Eventually(a.t, waitTimeout, "have a replica on each node", func() error {
		pods := a.pods()
		if len(pods) == 2 && pods[0].Spec.NodeName != pods[1].Spec.NodeName {
			return nil
		}
		_, err := a.try("kubectl -n batchgate-system delete pod " + pods[0].Name + waitDeployment)
		return errors.Join(err, errors.New("both replicas were on the same node"))
	})
}

// testNodeLoss cuts the power of the second node.
func testNodeLoss(t *testing.T, a admin) {
	a.t = t
	a.spread()
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
	waitReady(j, "survivor", 1)
	took := a.powerCycle()
	a.sh("kubectl -n " + j.Namespace + ` patch job survivor --type=merge --patch='{"metadata":{"labels":{"after":"loss"}}}'`)
	j.Wait("survivor", batchv1.JobComplete)
	a.sh(waitDeployment)
	report(t, "both nodes lose their power while a Job runs", "Jobs are gated again %s after the power is back, and the Job completes", took)
}

// testShutdown stops the cluster in order, as nodes do that let their Pods end: Batchgate ends first, and
// kube-apiserver notices. Then Batchgate and kube-apiserver wait for each other until the plugin ends that.
func testShutdown(t *testing.T, a admin) {
	a.t = t
	for _, n := range a.cluster.Nodes {
		if err := n.StopService("kubelet"); err != nil { // it would start the containers again
			t.Fatal(err)
		}
	}
	for _, pod := range a.pods() {
		if err := syscall.Kill(a.process(pod).PID, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
	}
	a.sh("kubectl wait apiservice v1.batch --for=condition=Available=false --timeout=110s")
	if err := a.cluster.Nodes[0].StopService("kube-apiserver"); err != nil {
		t.Fatal(err)
	}
	a.powerOffAndOn()
	framework.Eventually(t, waitTimeout, "see Batchgate and kube-apiserver wait for each other", func() error {
		output, err := a.try("kubectl batchgate status")
		if err == nil || !strings.Contains(err.Error(), "BLOCKED") {
			return fmt.Errorf("status is %q, %w", output, err)
		}
		return nil
	})
	time.Sleep(time.Minute) // Nothing else may end it.
	a.denied("kubectl get --raw=/readyz", "autoregister-completion")
	began := time.Now()
	a.sh("kubectl batchgate unblock")
	framework.Eventually(t, waitTimeout, "have Jobs served", func() error {
		_, err := a.try("kubectl get --raw=/readyz && kubectl get jobs")
		return err
	})
	took := time.Since(began).Round(time.Second)
	a.checkGate()
	report(t, "both nodes shut down in order, and start again", "Batchgate and the only kube-apiserver wait for each other; Jobs are gated %s after `kubectl batchgate unblock`", took)
}

// baseTest is a test of a cluster with the topology base on two nodes.
type baseTest struct {
	name string
	run  func(*testing.T, admin)
}

func runBaseTests(t *testing.T, tests []baseTest) {
	a := newAdmin(t, node.Options{Nodes: 2})
	a.installBase()
	a.sh("kubectl batchgate takeover")
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(t, a) })
	}
}

func TestBaseServesJobs(t *testing.T) {
	runBaseTests(t, []baseTest{
		{"jobs", testJobs},
		{"containers run unprivileged", testContainers},
		{"memory while listing large Jobs", testMemory},
		{"rolling restart under load", testRestart},
		{"evictions", testEvictions},
		{"serving certificate renewed", testRotation},
	})
}

func TestBaseSurvivesFailures(t *testing.T) {
	runBaseTests(t, []baseTest{
		{"hung replica", testHungReplica},
		{"node loss", testNodeLoss},
		{"power loss", testPowerLoss},
		{"orderly shutdown", testShutdown},
	})
}
