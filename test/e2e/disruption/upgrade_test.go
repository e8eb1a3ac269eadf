// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"os"
	"sync"
	"testing"

	"k8s.io/component-base/version"

	"github.com/batchgate/batchgate/test/framework"
)

// upgradesVariable is the environment variable that enables the tests of upgrades. They need control
// planes of older versions.
const upgradesVariable = "BATCHGATE_UPGRADES"

// current stands for the Kubernetes version in go.mod.
const current = version.DefaultKubeBinaryVersion

// upgrade upgrades a control plane by one minor version and downgrades it again.
type upgrade struct {
	s        *scenario
	versions [2]framework.Binaries
}

// A control plane is upgraded by one minor version and downgraded again, under load, while an attacker
// sends forbidden updates to each kube-apiserver. The same is done without Batchgate, to tell which
// requests fail because of it.
func TestUpgradeKubernetes(t *testing.T) {
	if os.Getenv(upgradesVariable) == "" {
		t.Skip("needs the control planes of older versions: set " + upgradesVariable)
	}
	for _, versions := range [][2]string{{"1.35", "1.36"}, {"1.36", current}} {
		t.Run(versions[0]+" to "+versions[1], func(t *testing.T) {
			var native, shared, exclusive outcome
			t.Run("native", func(t *testing.T) { native = upgradeControlPlane(t, versions, nativeMode) })
			t.Run("shared", func(t *testing.T) { shared = upgradeControlPlane(t, versions, sharedMode) })
			t.Run("exclusive", func(t *testing.T) { exclusive = upgradeControlPlane(t, versions, exclusiveMode) })
			for mode, taken := range map[string]outcome{"shared": shared, "exclusive": exclusive} {
				if taken.failures > native.failures {
					t.Errorf("%d requests failed in %s mode, and %d in a control plane without Batchgate", taken.failures, mode, native.failures)
				}
			}
		})
	}
}

// mode is how kube-apiserver and Batchgate share batch/v1.
type mode int

const (
	nativeMode    mode = iota // without Batchgate
	sharedMode                // a kube-apiserver serves batch/v1 itself until it proxies to Batchgate
	exclusiveMode             // kube-apiserver does not serve batch/v1
)

// upgradeControlPlane upgrades and downgrades a control plane, and returns the outcome of the load.
func upgradeControlPlane(t *testing.T, versions [2]string, m mode) outcome {
	u := &upgrade{versions: [2]framework.Binaries{binariesOf(t, versions[0]), binariesOf(t, versions[1])}}
	options := framework.ClusterOptions{APIServers: 2, EtcdMembers: 3}
	cluster, err := framework.StartTestCluster(t, u.versions[0], options)
	if err != nil {
		t.Fatal(err)
	}
	u.s = (&scenario{Cluster: cluster, t: t}).inNamespace(t, "disruption")
	if m != nativeMode {
		if err := u.s.InstallReplicas(t.Context(), 2); err != nil {
			t.Fatal(err)
		}
		u.s.plugin(0, "takeover")
	}
	var exclusive []string
	if m == exclusiveMode {
		exclusive = []string{"--runtime-config=batch/v1=false"}
		for _, server := range u.s.APIServers {
			if err := u.s.RestartKubeAPIServer(t.Context(), server, exclusive...); err != nil {
				t.Fatal(err)
			}
		}
	}
	u.s.createHeld("pi", 1, 2)
	load := u.s.inNamespace(t, "load").startLoad()
	finishAttack := func(bool) {}
	if m != nativeMode {
		finishAttack = u.s.attackEach("pi")
	}
	load.s.checkService()
	u.replaceControlPlane(u.versions[1], exclusive)
	u.emulate(m, u.versions[1])
	load.s.checkService()
	u.emulate(m, u.versions[0])
	u.replaceControlPlane(u.versions[0], exclusive)
	load.s.checkService()
	if m != nativeMode {
		finishAttack(m == exclusiveMode)
		u.s.plugin(0, "status")
	}
	all := load.finish()
	all.log(t)
	u.s.release("pi")
	return all
}

// binariesOf returns the programs with the control plane of a version.
func binariesOf(t *testing.T, version string) framework.Binaries {
	t.Helper()
	if version == current {
		return binaries
	}
	b, err := binaries.WithKubernetes(t.Context(), version)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// replaceControlPlane replaces the kube-apiservers one by one, and then the controllers.
func (u *upgrade) replaceControlPlane(to framework.Binaries, args []string) {
	u.s.t.Helper()
	u.s.UseControlPlane(to)
	for _, server := range u.s.APIServers {
		if err := u.s.RestartKubeAPIServer(u.s.t.Context(), server, args...); err != nil {
			u.s.t.Fatal(err)
		}
	}
	u.s.restartControllerManager()
	for _, step := range []func() error{u.s.Scheduler.Stop, u.s.Scheduler.Start} {
		if err := step(); err != nil {
			u.s.t.Fatal(err)
		}
	}
}

// emulate makes Batchgate emulate the version of the control plane.
func (u *upgrade) emulate(m mode, to framework.Binaries) {
	u.s.t.Helper()
	if m == nativeMode {
		return
	}
	u.s.EmulateKubernetes(to)
	u.s.rollingRestart()
}

// attackEach sends forbidden updates to each kube-apiserver until finish. If never is set, finish
// fails the test if one was accepted.
func (s *scenario) attackEach(job string) (finish func(never bool)) {
	s.t.Helper()
	type counts struct{ accepted, denied int32 }
	stop := make(chan struct{})
	var running sync.WaitGroup
	results := make([]counts, len(s.APIServers))
	for i, server := range s.APIServers {
		client, err := server.Client()
		if err != nil {
			s.t.Fatal(err)
		}
		running.Go(func() {
			results[i].accepted, results[i].denied = s.hammerAt(client, job, func() { <-stop })
		})
	}
	return func(never bool) {
		s.t.Helper()
		close(stop)
		running.Wait()
		for i, server := range s.APIServers {
			got := results[i]
			s.t.Logf("%s: %d forbidden updates were accepted, the gate denied %d", server.Name, got.accepted, got.denied)
			if got.denied == 0 || never && got.accepted > 0 {
				s.t.Errorf("%s: %d forbidden updates were accepted and %d denied", server.Name, got.accepted, got.denied)
			}
		}
	}
}
