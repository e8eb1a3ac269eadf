// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/batchgate/batchgate/test/framework"
)

// waitTimeout bounds every wait. It is long because the machine may be busy.
const waitTimeout = 2 * time.Minute

// scenario is the control plane of one test.
type scenario struct {
	*framework.Cluster

	t *testing.T
	// namespace holds the Jobs of the test.
	namespace string
}

// start starts a control plane without Batchgate. It stops when the test ends. The client rate limits
// of the controllers are high enough to keep up with the load, unless features has others.
func start(t *testing.T, features framework.ClusterOptions) *scenario {
	t.Helper()
	features.ControllerManagerArgs = slices.Concat([]string{"--kube-api-qps=1000", "--kube-api-burst=1000"}, features.ControllerManagerArgs)
	cluster, err := framework.StartTestCluster(t, binaries, features)
	if err != nil {
		t.Fatal(err)
	}
	s := &scenario{Cluster: cluster, t: t}
	return s.inNamespace(t, "disruption")
}

// startTakenOver starts a control plane in which Batchgate serves v1.batch.
func startTakenOver(t *testing.T, features framework.ClusterOptions) *scenario {
	t.Helper()
	s := start(t, features)
	s.install()
	s.takeOver()
	return s
}

// forSubtest returns the scenario for a subtest.
func (s *scenario) forSubtest(t *testing.T) *scenario {
	return &scenario{Cluster: s.Cluster, t: t, namespace: s.namespace}
}

// inNamespace creates a namespace and returns the scenario for a test whose Jobs are in it.
func (s *scenario) inNamespace(t *testing.T, namespace string) *scenario {
	t.Helper()
	other := &scenario{Cluster: s.Cluster, t: t, namespace: namespace}
	other.jobs().CreateNamespace(metav1.ObjectMeta{Name: namespace})
	return other
}

// install installs Batchgate on the cluster's etcd.
func (s *scenario) install() {
	s.t.Helper()
	if err := s.Install(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scenario) takeOver() {
	s.t.Helper()
	if err := s.TakeOver(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// eventually waits until check returns nil. The message is an infinitive, like "have a leader".
func (s *scenario) eventually(message string, check func() error) {
	s.t.Helper()
	framework.Eventually(s.t, waitTimeout, message, check)
}

// kubectl runs kubectl in the scenario's namespace.
func (s *scenario) kubectl(args ...string) error {
	_, _, err := s.Kubectl().Run(s.t.Context(), append([]string{"--namespace=" + s.namespace}, args...)...)
	return err
}

// restartControllerManager makes all controllers list Jobs again.
func (s *scenario) restartControllerManager() {
	s.t.Helper()
	if err := s.ControllerManager.Stop(); err != nil {
		s.t.Fatal(err)
	}
	if err := s.ControllerManager.Start(); err != nil {
		s.t.Fatal(err)
	}
}

// checkNotExited fails the test if the process has exited since its Exited channel was taken.
func (s *scenario) checkNotExited(name string, exited <-chan struct{}) {
	s.t.Helper()
	select {
	case <-exited:
		s.t.Errorf("%s exited", name)
	default:
	}
}
