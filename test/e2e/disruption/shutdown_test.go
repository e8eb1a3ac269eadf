// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/batchgate/batchgate/test/framework"
)

// topologiesPage has a table that says which topologies recover from a shutdown without help.
const topologiesPage = "../../../docs/concepts/topologies.md"

// checkStartDocumented fails the test unless the table of topologiesPage has the row.
func checkStartDocumented(t *testing.T, cells ...string) {
	t.Helper()
	content, err := os.ReadFile(topologiesPage)
	if err != nil {
		t.Fatal(err)
	}
	if row := "| " + strings.Join(cells, " | ") + " |"; !strings.Contains(string(content), row) {
		t.Errorf("%s has no row %s", topologiesPage, row)
	}
}

// A cluster whose Batchgate runs in Pods is stopped and started again. Then the Pods have new IPs, and
// the EndpointSlices have the old ones until kube-controller-manager updates them.
// kube-controller-manager exits and is restarted until /healthz of kube-apiserver is ok.
func TestShutdownOfClusterWithDeployment(t *testing.T) {
	t.Parallel()
	s := start(t, framework.ClusterOptions{})
	if err := s.InstallPods(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.takeOver()
	for _, tc := range []struct {
		name                string
		powerFailure        bool
		nativeBatchDisabled bool
		blocked             bool
		row                 []string
	}{
		{name: "power failure", powerFailure: true, row: []string{"Deployment", "power failure", "yes"}},
		{name: "orderly", blocked: true, row: []string{"Deployment", "orderly shutdown", "no: run `kubectl batchgate unblock`"}},
		{name: "orderly without native batch/v1", nativeBatchDisabled: true, row: []string{"Deployment, with `--runtime-config=batch/v1=false`", "orderly shutdown", "yes"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			checkStartDocumented(t, tc.row...)
			if tc.nativeBatchDisabled {
				if err := s.RestartKubeAPIServer(t.Context(), s.APIServers[0], "--runtime-config=batch/v1=false"); err != nil {
					t.Fatal(err)
				}
			}
			s := s.inNamespace(t, "shutdown-"+strings.NewReplacer(" ", "-", "/", "-").Replace(tc.name))
			if err := s.kubectl("wait", "apiservice", "v1.batch", "--for=condition=Available", "--timeout=110s"); err != nil {
				t.Fatal(err)
			}
			s.createHeld("pi", 1, 2)
			before, _ := s.Endpoints()
			if tc.powerFailure {
				s.killEverything()
			} else {
				s.shutDown(s.Pods)
			}

			// Clients of the Service kubernetes and of a load balancer reach kube-apiserver while it is
			// ready. They must never get around the gate.
			stopThrough := s.attack(s.ServiceConfig(), "pi")
			for _, p := range []*framework.Process{s.Etcd, s.APIServer, s.ControllerManager} {
				keepRunning(t, p)
			}
			s.eventually("give the Pods new IPs", func() error { return s.NewPodIPs(t.Context()) })
			for _, p := range s.Pods {
				keepRunning(t, p)
			}
			stopDirect := func() {}
			if tc.nativeBatchDisabled {
				stopDirect = s.attack(s.Config, "pi")
			}
			if tc.blocked {
				s.awaitBlocked(before)
				stopDirect = s.attack(s.Config, "pi")
				s.plugin(0, "unblock").has("no longer waits")
			}
			s.awaitStarted("pi")
			if err := errors.Join(s.Scheduler.Start(), s.Kwok.Start()); err != nil {
				t.Fatal(err)
			}
			s.release("pi")
			stopDirect()
			stopThrough()
			if _, running := s.Endpoints(); running != len(s.Pods) {
				t.Errorf("the EndpointSlices have %d IPs of running Pods, want %d", running, len(s.Pods))
			}
		})
	}
}

// A static Pod does not wait for kube-apiserver, and has no Pod IP of its own.
func TestShutdownOfClusterWithStaticPod(t *testing.T) {
	t.Parallel()
	checkStartDocumented(t, "static Pod", "orderly shutdown", "yes")
	s := start(t, framework.ClusterOptions{EtcdTLS: true})
	if err := s.InstallStaticPod(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.takeOver()
	s.createHeld("pi", 1, 2)
	s.shutDown([]*framework.Process{s.Batchgate})
	for _, p := range []*framework.Process{s.Etcd, s.APIServer, s.ControllerManager, s.Batchgate} {
		keepRunning(t, p)
	}
	s.awaitStarted("pi")
	if err := errors.Join(s.Scheduler.Start(), s.Kwok.Start()); err != nil {
		t.Fatal(err)
	}
	s.release("pi")
}

// shutDown stops Batchgate first, so that kube-apiserver records that Batchgate is unavailable. Then it
// stops the other components in order.
func (s *scenario) shutDown(batchgate []*framework.Process) {
	s.t.Helper()
	for _, p := range batchgate {
		if err := p.Stop(); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := s.kubectl("wait", "apiservice", "v1.batch", "--for=condition=Available=false", "--timeout=110s"); err != nil {
		s.t.Fatal(err)
	}
	for _, p := range []*framework.Process{s.Kwok, s.Scheduler, s.ControllerManager, s.APIServer, s.Etcd} {
		if err := p.Stop(); err != nil {
			s.t.Fatal(err)
		}
	}
}

// killEverything kills kube-apiserver first, so that it cannot record that Batchgate is unavailable,
// and then all other processes.
func (s *scenario) killEverything() {
	s.t.Helper()
	for _, p := range append([]*framework.Process{s.APIServer, s.Etcd, s.ControllerManager, s.Scheduler, s.Kwok}, s.Pods...) {
		if err := p.Kill(); err != nil {
			s.t.Fatal(err)
		}
	}
}

// awaitBlocked waits until kube-apiserver waits for v1.batch only, and kube-controller-manager has
// given up waiting for kube-apiserver. The EndpointSlices then still have the old IPs.
func (s *scenario) awaitBlocked(endpoints []string) {
	s.t.Helper()
	s.eventually("have a kube-apiserver that waits for v1.batch only", func() error {
		return s.Client.Discovery().RESTClient().Get().AbsPath("/healthz").Param("exclude", "autoregister-completion").Do(s.t.Context()).Error()
	})
	exited := s.ControllerManager.Exited()
	s.eventually("have a kube-controller-manager that gives up", func() error {
		select {
		case <-exited:
			return nil
		default:
			return errors.New("it runs")
		}
	})
	err := s.Client.Discovery().RESTClient().Get().AbsPath("/healthz").Do(s.t.Context()).Error()
	if err == nil || !strings.Contains(err.Error(), "autoregister-completion") {
		s.t.Errorf("kube-apiserver does not wait for v1.batch: %v", err)
	}
	if got, running := s.Endpoints(); fmt.Sprint(got) != fmt.Sprint(endpoints) || running > 0 {
		s.t.Errorf("the EndpointSlices have the IPs %v, want %v, which no Pod has any more", got, endpoints)
	}
	s.plugin(1, "status").has("BLOCKED", "run kubectl batchgate unblock")
}

// awaitStarted waits until the whole cluster works, and Batchgate gates the Job.
func (s *scenario) awaitStarted(job string) {
	s.t.Helper()
	s.eventually("have a ready kube-apiserver", func() error { return s.APIServerReady(s.t.Context()) })
	s.eventually("be gated", func() error { return s.checkGated(job) })
	if err := s.kubectl("wait", "apiservice", "v1.batch", "--for=condition=Available", "--timeout=110s"); err != nil {
		s.t.Error(err)
	}
}

// attack sends forbidden updates without pause until stop, which fails the test if one was accepted
// or if the gate denied none.
func (s *scenario) attack(config *rest.Config, job string) (stop func()) {
	s.t.Helper()
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	var accepted, denied int32
	go func() {
		defer close(done)
		accepted, denied = s.hammerAt(client, job, func() { <-ctx.Done() })
	}()
	s.t.Cleanup(func() {
		cancel()
		<-done
	})
	return func() {
		s.t.Helper()
		cancel()
		<-done
		s.t.Logf("the gate denied %d forbidden updates at %s", denied, config.Host)
		if accepted > 0 || denied == 0 {
			s.t.Errorf("at %s, %d forbidden updates were accepted and %d denied", config.Host, accepted, denied)
		}
	}
}
