// Copyright The Batchgate Authors.
// SPDX-License-Identifier: Apache-2.0

package disruption

import (
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"k8s.io/component-base/version"

	"github.com/batchgate/batchgate/test/framework"
)

// upgradesVariable is the environment variable that enables the tests of upgrades. They need control
// planes of older versions.
const upgradesVariable = "BATCHGATE_UPGRADES"

// pauseOfWriters keeps the load so low that the controllers keep up with it.
const pauseOfWriters = 500 * time.Millisecond

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
				// Connections get lost by chance, in each mode alike.
				if got, want := taken.failures-taken.lost, native.failures-native.lost; got > want {
					t.Errorf("%d requests got an error in %s mode, and %d in a control plane without Batchgate", got, mode, want)
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
	options := framework.ClusterOptions{
		APIServers: 2, EtcdMembers: 3,
		// By default a controller sends 20 requests a second, fewer than the Jobs of the load need.
		ControllerManagerArgs: []string{"--kube-api-qps=200", "--kube-api-burst=200"},
	}
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
	load := u.s.inNamespace(t, "load").startPacedLoad(pauseOfWriters)
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
		// A kube-apiserver that has just started reports batch/v1 as stale until it has asked Batchgate.
		u.s.eventually("have kubectl batchgate status succeed", func() error {
			if output, code := u.s.runPlugin("status"); code != 0 {
				return fmt.Errorf("exit code %d: %s", code, output)
			}
			return nil
		})
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
